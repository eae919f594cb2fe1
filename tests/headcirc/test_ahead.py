import threading
from itertools import count, islice

import pytest

from headcirc.ahead import map_ahead

PATIENCE_S = 30.0


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_keep_the_order_of_the_items(threads):
    assert list(map_ahead(lambda each: each**2, range(20), threads=threads)) == [
        each**2 for each in range(20)
    ]


def test_two_items_are_at_work_at_the_same_time():
    """Each waits for the other one, so one after the other would never end."""
    together = threading.Barrier(2, timeout=PATIENCE_S)
    assert list(map_ahead(lambda each: together.wait() >= 0, range(4), threads=2)) == [True] * 4


def test_few_items_are_read_ahead():
    """An endless source is read no further than the threads need."""
    taken = []

    def take():
        for each in count():
            taken.append(each)
            yield each

    found = map_ahead(lambda each: each, take(), threads=2)
    assert list(islice(found, 3)) == [0, 1, 2]
    assert len(taken) <= 5
    found.close()


def test_error_is_raised_in_its_turn():
    """The results before it are there; what comes after it is given up."""

    def invert(each):
        return 1 / each

    found = map_ahead(invert, [2, 0, 1, 1, 1], threads=2)
    assert next(found) == 0.5
    with pytest.raises(ZeroDivisionError):
        next(found)
    assert list(found) == []
