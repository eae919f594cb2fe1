"""Turn the service's OpenAPI document into one page of Markdown.

essentials-openapi was tried: it repeats every schema in every response and gives 7,100 lines.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
TITLE = "HTTP reference"
INTRODUCTION = """This page is generated from the OpenAPI document of the service,
[openapi.json](openapi.json). A running service offers the same document at `/openapi.json` and
shows it at `/docs`. [HTTP API](api.md) says what the fields mean and what callers can rely on."""
PROBLEM = "application/problem+json"


def to_page(document: Schema) -> str:
    """Return the page: one section for each operation, then one for each schema."""
    schemas = document["components"]["schemas"]
    lines = [f"# {TITLE}", "", INTRODUCTION, "", "## Operations", ""]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            lines += to_operation(path, method, operation, schemas)
    lines += ["## Schemas", ""]
    for name, schema in sorted(schemas.items()):
        if not name.endswith("Form"):  # forms stand with their operation
            lines += to_schema(name, schema)
    return "\n".join(lines)


def to_operation(path: str, method: str, operation: Schema, schemas: Schema) -> Iterator[str]:
    """Yield the lines of one operation: what it does, what it takes, what it answers."""
    yield from (f"### {method.upper()} {path}", "", operation.get("description", ""), "")
    parameters = [
        (each["name"], each["schema"], each.get("required", False), each.get("description", ""))
        for each in operation.get("parameters", ())
    ]
    if parameters:
        yield from to_fields("parameter", parameters)
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content["schema"]
        form = schemas[_to_name(schema)] if "$ref" in schema else schema
        yield from (f"Body, `{media_type}`:", "")
        yield from to_fields("field", list(_to_rows(form)))
    yield from ("| status | answer |", "|---|---|")
    for status, answer in sorted(operation["responses"].items()):
        yield f"| {status} | {to_answer(answer)} |"
    yield ""


def to_answer(answer: Schema) -> str:
    """Return one answer's description and its content, in words."""
    words = str(answer["description"])
    for media_type, content in answer.get("content", {}).items():
        if media_type == PROBLEM:
            words += "; a [problem](api.md#errors)"
        else:
            schema = content.get("schema", {})
            words += f"; `{media_type}`" + (f", {to_type(schema)}" if "$ref" in schema else "")
    return words


def to_schema(name: str, schema: Schema) -> Iterator[str]:
    """Yield the lines of one schema."""
    yield from (f"### {name}", "", schema.get("description", ""), "")
    yield from to_fields("field", list(_to_rows(schema)))


def to_fields(kind: str, rows: list[tuple[str, Schema, bool, str]]) -> Iterator[str]:
    """Yield a table of fields or parameters."""
    yield from (f"| {kind} | type | required | meaning |", "|---|---|---|---|")
    for name, schema, required, meaning in rows:
        words = " ".join(meaning.split())
        yield f"| `{name}` | {to_type(schema)} | {'yes' if required else 'no'} | {words} |"
    yield ""


def to_type(schema: Schema) -> str:
    """Return a schema's type in words, with a link where it has a section of its own."""
    if "$ref" in schema:
        name = _to_name(schema)
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(to_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{each}`" for each in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of {to_type(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {to_type(schema['additionalProperties'])}"
    return str(schema.get("type", "any"))


def _to_rows(schema: Schema) -> Iterator[tuple[str, Schema, bool, str]]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        yield name, field, name in required, field.get("description", "")


def _to_name(schema: Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]
