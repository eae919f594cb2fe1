import re

import pytest
from headcirc_service.app import create_app

from tools.docs.openapi_page import to_page, to_type


@pytest.fixture(scope="module")
def document():
    """Return the OpenAPI document of the service."""
    return create_app().openapi()


def test_page_has_every_operation_and_schema(document):
    """Each path and method, and each schema but the forms, has a section."""
    titles = re.findall(r"^### (.+)$", to_page(document), flags=re.MULTILINE)
    operations = [
        f"{method.upper()} {path}" for path, each in document["paths"].items() for method in each
    ]
    schemas = [each for each in document["components"]["schemas"] if not each.endswith("Form")]
    assert titles == [*operations, *sorted(schemas)]


def test_links_to_schemas_lead_to_their_sections(document):
    """Each `#name` on the page is a section of it."""
    page = to_page(document)
    sections = {each.lower() for each in re.findall(r"^### (\w+)$", page, flags=re.MULTILINE)}
    assert set(re.findall(r"\]\(#(\w+)\)", page)) <= sections


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "string"),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, "number or null"),
        ({"type": "array", "items": {"type": "string"}}, "list of string"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "object of number"),
        ({"type": "object", "additionalProperties": True}, "object"),
        ({"$ref": "#/components/schemas/HeadBody"}, "[HeadBody](#headbody)"),
        ({"enum": ["a", "b"]}, "`a` or `b`"),
        ({}, "any"),
    ],
)
def test_types_are_words(schema, words):
    """Each form of a type that the document uses reads as words."""
    assert to_type(schema) == words
