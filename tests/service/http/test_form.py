import asyncio
import gzip

import pytest
from headcirc_service.app import create_app
from headcirc_service.settings import Settings

from tests.service.http.test_problems import CONTENT, check, post
from tests.support.raw_http import call

BOUNDARY = "b0undary"
HEADERS = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


def to_body(*parts: tuple[str, bytes], end: str = "--\r\n") -> bytes:
    """Return a form of parts, each with its headers."""
    told = (f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + body + b"\r\n" for head, body in parts)
    return b"".join(told) + f"--{BOUNDARY}{end}".encode()


def send(client, *parts: tuple[str, bytes], **options):
    return client.post("/v1/analyses", content=to_body(*parts, **options), headers=HEADERS)


NAMED = 'Content-Disposition: form-data; name="image"'
TYPED = NAMED + "\r\nContent-Type: "


@pytest.mark.parametrize(
    "head",
    [
        NAMED + "; filename*=UTF-8''sch%C3%A4del.png",
        NAMED + '; filename=""',
        TYPED + "image/png",
        TYPED + "IMAGE/JPEG; quality=1",
        TYPED + "application/octet-stream",
        "Content-Type: a\r\ncontent-disposition: form-data; filename*=utf-8''a; name=image",
    ],
)
def test_picture_is_a_file_whatever_its_name_is_written_as(client, head):
    """An extended name alone, an empty one, or none beside an image's type."""
    assert send(client, (head, CONTENT)).status_code == 201


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([(NAMED, b"text")], "holds text"),
        ([(TYPED + "text/plain", b"text")], "holds text"),
        ([('Content-Disposition: form-data; name="file"; filename="a"', CONTENT)], "another field"),
        ([('Content-Disposition: form-data; name="frame"', b"0")], "no field 'image'"),
        ([("Content-Disposition: form-data", b"0")], "no name"),
        ([], "no field 'image'"),
    ],
)
def test_missing_image_is_told_with_its_reason(client, parts, reason):
    """Which of the ways there are to send none."""
    answer = send(client, *parts)
    check(answer, 422, "missing-image")
    assert reason in answer.json()["detail"]


def test_form_that_was_cut_is_told(client):
    """It is damage on the way, not a field that was forgotten."""
    whole = to_body((NAMED + '; filename="a"', CONTENT))
    for content in (whole[: len(whole) // 2], b"--x"):
        answer = client.post("/v1/analyses", content=content, headers=HEADERS)
        check(answer, 422, "missing-image")
        assert "did not arrive whole" in answer.json()["detail"]


def test_form_without_a_boundary_is_told(client):
    """The header, not the picture, is what is wrong."""
    headers = {"content-type": "multipart/form-data"}
    answer = client.post("/v1/analyses", content=to_body(), headers=headers)
    check(answer, 422, "missing-image")
    assert "boundary" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([(NAMED + '; filename="a"', CONTENT)] * 2, "more than one file"),
        ([(f'Content-Disposition: form-data; name="f{n}"', b"") for n in range(9)], "more than 8"),
        ([(NAMED, CONTENT)], "more than 1000 bytes"),
    ],
)
def test_each_limit_of_the_form_is_told_by_itself(client, parts, reason):
    """One file, a few fields, short ones."""
    answer = send(client, *parts)
    check(answer, 422, "invalid-parameter")
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "identity, gzip"])
def test_compressed_body_is_refused_with_what_is_accepted(client, encoding):
    """As RFC 9110 has it (12.5.3): 415, and the codings that would have been taken."""
    body = gzip.compress(to_body((NAMED + '; filename="a"', CONTENT)))
    headers = HEADERS | {"content-encoding": encoding}
    answer = client.post("/v1/analyses", content=body, headers=headers)
    check(answer, 415, "unsupported-media-type")
    assert answer.headers["accept-encoding"] == "identity"
    assert "compressed" in answer.json()["detail"]


def test_identity_is_no_encoding(client):
    """It says that the body is as it is."""
    body = to_body((NAMED + '; filename="a"', CONTENT))
    headers = HEADERS | {"content-encoding": "identity"}
    assert client.post("/v1/analyses", content=body, headers=headers).status_code == 201


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "application/json", "image/png", ""]
)
def test_body_that_is_no_form_is_refused_unread(pipeline, content_type):
    """It would only cost time: ten megabytes of '&' took seconds."""
    app = create_app(Settings(), pipeline)

    async def receive():
        raise AssertionError("the body was read")

    async def scenario():
        async with app.router.lifespan_context(app):
            return await call(app, receive, **{"content-type": content_type})

    answer = asyncio.run(scenario())
    assert (answer.status, answer.json()["code"]) == (422, "missing-image")
    assert "not a multipart form" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/models", "/v1/analyses/0/mask"])
def test_path_comes_before_the_form(client, path):
    """A path that takes no form is told as such, whatever the body is."""
    assert client.post(path, json={}).status_code in (404, 405)


def test_measured_as_ever(client):
    """What clients send today."""
    assert post(client, CONTENT, pixel_size_mm="0.1").status_code == 201


@pytest.mark.parametrize("lacking", [0, 2, 3, 40, 60])
def test_form_that_ends_after_its_picture_is_cut(client, lacking):
    """The pixel size was among what is lacking: it was measured as if none had been stated."""
    size = ('Content-Disposition: form-data; name="pixel_size_mm"', b"0.1")
    body = to_body((NAMED + '; filename="a"', CONTENT), size, end="")
    body = body[: -len(f"\r\n--{BOUNDARY}") - lacking]
    answer = client.post("/v1/analyses", content=body, headers=HEADERS)
    check(answer, 422, "missing-image")
    assert "last boundary" in answer.json()["detail"]


def test_second_content_encoding_header_counts(client):
    """A header that comes twice is one list (RFC 9110, 5.3)."""
    headers = [*HEADERS.items(), ("content-encoding", "identity"), ("content-encoding", "gzip")]
    body = to_body((NAMED + '; filename="a"', CONTENT))
    answer = client.post("/v1/analyses", content=body, headers=headers)
    check(answer, 415, "unsupported-media-type")
