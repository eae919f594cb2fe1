import re

import headcirc_service.errors
import headcirc_service.http.problems
import pytest

from headcirc.errors import HeadCircumferenceError


def walk(parent):
    """Return a class and all classes below it."""
    return [parent, *(each for child in parent.__subclasses__() for each in walk(child))]


ERRORS = [
    each
    for each in walk(HeadCircumferenceError)
    if each.__module__.startswith(("headcirc", "service"))
]


def test_the_tree_is_walked_whole():
    """The walk meets the errors of both packages."""
    assert {each.__module__ for each in ERRORS} >= {
        "headcirc.errors",
        "headcirc_service.errors",
    }


@pytest.mark.parametrize("error", ERRORS, ids=lambda each: each.__name__)
def test_every_error_has_code_docstring_and_status(error):
    """Each error has a code in kebab case, a docstring of its own, and an HTTP status."""
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", error.code)
    assert error.__doc__
    status = headcirc_service.http.problems.to_status(error("found, needed, to do"))
    assert 400 <= status < 600
    assert status in headcirc_service.http.problems.TITLES
