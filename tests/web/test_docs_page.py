import json
import re
from pathlib import Path

import httpx
import pytest
from headcirc_service.app import create_app
from headcirc_service.settings import Settings
from playwright.sync_api import expect

from tests.support.synthetic import to_synthetic_pipeline
from tests.web.conftest import serve_app

EXAMPLES = Path("service/headcirc_service/web/examples")
PREFIX = "/tools/headcirc"


def below_prefix(app):
    """Return the application behind a reverse proxy that removes a path prefix."""

    async def pass_on(scope, receive, send):
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        assert scope["path"].startswith(PREFIX), scope["path"]
        path = scope["path"].removeprefix(PREFIX)
        await app({**scope, "path": path, "raw_path": path.encode()}, receive, send)

    return pass_on


@pytest.fixture(params=["", PREFIX], ids=["at the root", "below a path"])
def docs_url(request):
    """Return the address of a service, at the root and below a path."""
    app = create_app(Settings(), to_synthetic_pipeline())
    with serve_app(below_prefix(app) if request.param else app) as url:
        yield url + request.param


def open_operation(page, name: str):
    """Open an operation and prepare it for execution."""
    operation = page.locator(".opblock", has=page.locator(f"[data-path='{name}']")).first
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    return operation


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/analyses", "201"), ("/v1/head-circumference", "200")]
)
def test_worked_example_works_at_the_first_try(open_page, docs_url, path, status):
    """Choose the linked phantom and press Execute; no other input is needed."""
    page = open_page(docs_url, "/docs")
    example = open_operation(page, "/v1/analyses")
    link = example.get_by_role("link", name="this drawn head").evaluate("each => each.href")
    picture = httpx.get(link)
    assert picture.headers["content-type"] == "image/png"
    phantom = {"name": "head.png", "mimeType": "image/png", "buffer": picture.content}
    operation = example if path == "/v1/analyses" else open_operation(page, path)
    operation.locator("input[type=file]").set_input_files(phantom)
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table .response").first
    expect(answer.locator(".response-col_status")).to_have_text(re.compile(f"^{status}"))
    body = json.loads(answer.locator(".highlight-code code").first.inner_text())
    assert body.get("id")


def test_worked_example_is_a_phantom_of_known_size():
    """The pixel size and circumference in the text are those of the drawn phantom."""
    document = create_app(Settings(), to_synthetic_pipeline()).openapi()
    text = document["paths"]["/v1/analyses"]["post"]["description"]
    name = re.search(r"web/examples/(\S+\.png)", text)[1]
    known = json.loads((EXAMPLES / "examples.json").read_text())
    (drawn,) = (each for each in known if each["file"] == name)
    assert f"{drawn['pixel_size_x_mm']} mm wide and high" in text
    assert f"{drawn['head_circumference_mm']:.1f} mm" in text
    form = document["paths"]["/v1/analyses"]["post"]["requestBody"]["content"]
    schema = document["components"]["schemas"][
        form["multipart/form-data"]["schema"]["$ref"].rsplit("/", 1)[1]
    ]
    assert schema["properties"]["pixel_size_mm"]["example"] == drawn["pixel_size_x_mm"]


def test_every_operation_has_a_written_summary():
    """The summary is a phrase, not the function's name in capital letters."""
    document = create_app(Settings(), to_synthetic_pipeline()).openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            made = re.sub(r"_v1.*|_(livez|readyz|metrics).*", "", operation["operationId"])
            assert operation["summary"] != made.replace("_", " ").title(), (method, path)
            assert operation["summary"][1:] != operation["summary"][1:].title(), (method, path)


def test_no_optional_number_begins_as_zero():
    """The viewer would send the default, and 0 mm is refused."""
    document = create_app(Settings(), to_synthetic_pipeline()).openapi()
    for name, schema in document["components"]["schemas"].items():
        if name.endswith("Form"):
            for field in set(schema["properties"]) - set(schema["required"]):
                assert schema["properties"][field]["example"] in ("", 0.1277), (name, field)
