import numpy as np
import pytest
from PIL import Image

from tests.headcirc.readers.test_decode import make_png_bomb
from tests.support.synthetic import draw_head, to_file

CONTENT = to_file(draw_head())
NOISE = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)


def post(client, content, **fields):
    return client.post("/v1/analyses", files={"image": ("patient-doe.png", content)}, data=fields)


def check(answer, status, code):
    """Assert one problem document: status, code, all fields, and nothing leaked."""
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) == {"type", "title", "status", "detail", "code", "request_id"}
    assert body["status"] == status
    assert answer.headers["x-request-id"] == body["request_id"]
    for leak in ("patient-doe", "Traceback", "/", "\\"):
        assert leak not in body["detail"].replace("text/", "").replace("image/", "").replace(
            "application/json", ""
        )


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        pytest.param(b"", 400, "unreadable-image", id="empty file"),
        pytest.param(CONTENT[:900], 400, "unreadable-image", id="truncated PNG"),
        pytest.param(b"I am a text file.", 415, "unsupported-media-type", id="text"),
        pytest.param(make_png_bomb(20_000, 20_000), 413, "image-too-large", id="bomb"),
    ],
)
def test_bad_files_get_the_documented_code(client, content, status, code):
    """Each bad file has its status and code, and the next request is answered."""
    check(post(client, content, pixel_size_mm="0.1"), status, code)
    assert post(client, CONTENT, pixel_size_mm="0.1").status_code == 201


@pytest.mark.parametrize("value", ["0", "-0.1", "nan", "inf", "-inf", "abc", "1e9", "0,13"])
@pytest.mark.parametrize("field", ["pixel_size_mm", "both"])
def test_bad_pixel_sizes_get_the_documented_code(client, value, field):
    """Zero, negative, not finite, not a number or no length: invalid-pixel-size."""
    fields = {"pixel_size_x_mm": value, "pixel_size_y_mm": "0.1"}
    answer = post(client, CONTENT, **(fields if field == "both" else {field: value}))
    check(answer, 422, "invalid-pixel-size")


@pytest.mark.parametrize(
    "fields",
    [
        {"pixel_size_mm": "0.1", "pixel_size_x_mm": "0.1", "pixel_size_y_mm": "0.1"},
        {"pixel_size_x_mm": "0.1"},
        {"pixel_size_y_mm": "0.1"},
        {"pixel_size_mm": ["0.1", "0.2"]},
        {"pixel_size_x_mm": "0.1", "pixel_size_y_mm": ["0.1", "0.1"]},
    ],
)
def test_contradictory_pixel_sizes_get_the_documented_code(client, fields):
    """Both kinds, half of one, or one twice: invalid-pixel-size."""
    check(post(client, CONTENT, **fields), 422, "invalid-pixel-size")


@pytest.mark.parametrize("frame", ["1", "-1", "x", ["1", "0"], ["0", "0"]])
def test_frames_that_are_not_there_get_the_documented_code(client, frame):
    """A plain picture has frame 0 and no other; of two that are asked for none is taken."""
    check(post(client, CONTENT, frame=frame), 422, "invalid-frame")


def test_missing_image_is_told(client):
    """No body, no file, the wrong field, or text in place of a file: missing-image."""
    check(client.post("/v1/analyses"), 422, "missing-image")
    check(client.post("/v1/analyses", data={"pixel_size_mm": "0.1"}), 422, "missing-image")
    check(client.post("/v1/analyses", files={"img": ("a.png", CONTENT)}), 422, "missing-image")
    check(client.post("/v1/analyses", data={"image": "text"}), 422, "missing-image")
    check(client.post("/v1/analyses", json={"image": "text"}), 422, "missing-image")


def test_broken_multipart_is_told(client):
    """A form that cannot be parsed holds no image."""
    headers = {"content-type": "multipart/form-data"}
    check(client.post("/v1/analyses", content=b"--x", headers=headers), 422, "missing-image")


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(np.zeros((540, 800), np.uint8), id="black"),
        pytest.param(np.full((1, 1), 7, np.uint8), id="one pixel"),
        pytest.param(NOISE.astype(np.uint16) * 100, id="16-bit grey"),
        pytest.param(np.dstack([NOISE] * 4), id="RGBA"),
        pytest.param(Image.fromarray(NOISE).convert("P"), id="palette"),
        pytest.param(Image.fromarray(NOISE).convert("1"), id="one bit"),
    ],
)
def test_odd_but_valid_pictures_are_answered(client, pixels):
    """Every valid picture gets an answer, with a head or an honest null."""
    answer = post(client, to_file(pixels), pixel_size_mm="0.1")
    assert answer.status_code == 201
    body = answer.json()
    assert body["head"] is not None or body["quality"]["warnings"] == ["no-head-found"]


def test_cmyk_jpeg_is_answered(client):
    """A CMYK JPEG is a picture like any other."""
    content = to_file(Image.fromarray(draw_head()).convert("CMYK"), "JPEG")
    assert post(client, content, pixel_size_mm="0.13").json()["head"] is not None


def test_body_over_the_limit_is_refused(make_client):
    """Announced or streamed, a body over the limit is 413."""
    client = make_client(max_upload_bytes=1000)
    check(post(client, b"\x89PNG\r\n\x1a\n" + bytes(2000)), 413, "image-too-large")

    def stream():
        yield b'--b\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n'
        for _ in range(20):
            yield bytes(100)

    headers = {"content-type": "multipart/form-data; boundary=b"}
    check(client.post("/v1/analyses", content=stream(), headers=headers), 413, "image-too-large")


def test_unknown_paths_methods_and_ids_are_told(client):
    """404 and 405 are problem documents too."""
    check(client.get("/v1/nothing"), 404, "not-found")
    check(client.get("/v1/analyses/" + "0" * 32), 404, "not-found")
    check(client.delete("/v1/models"), 405, "method-not-allowed")


def test_unknown_paths_and_methods_are_told_in_sentences(client):
    """What was found and what is needed, and nothing of what was asked for."""
    nothing, wrong = client.get("/v1/DOE-JANE"), client.delete("/v1/models")
    assert nothing.json()["detail"].startswith("Nothing is served at this path; ")
    assert "DOE" not in nothing.text
    assert "does not support this method; the header 'Allow'" in wrong.json()["detail"]
    assert wrong.headers["allow"] == "GET"


@pytest.mark.parametrize("path", ["/v1/analyses/", "/v1/models/", "/livez/", "/docs/"])
def test_slash_too_many_is_no_redirect(client, path):
    """404: a Location would be of the Host header's making, and the picture be sent again there."""
    headers = {"host": "evil.example"}
    answer = client.post(path, files={"image": ("a.png", CONTENT)}, headers=headers)
    check(answer, 404, "not-found")
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    "accepted",
    [
        ["Application/JSON"],
        ["text/html", "application/json"],
        ["text/html, */*;q=0.5"],
        ["*/*;q=0, application/json;q=0.001"],
        [""],
    ],
)
def test_accept_header_that_allows_json_gets_it(client, accepted):
    """In any case, on any of several lines, and however little it is liked."""
    headers = [("accept", each) for each in accepted]
    assert client.get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "accepted", ["application/json;q=0", "*/*, application/json; Q=0.000", "application/*;q=0, */*"]
)
def test_accept_header_that_refuses_json_is_told(client, accepted):
    """A weight of zero refuses, and the closest range decides."""
    check(client.get("/v1/models", headers={"accept": accepted}), 406, "not-acceptable")


def test_accept_header_that_rules_the_answer_out_is_told(client):
    """Asking for JSON only and getting a picture is 406."""
    files = {"image": ("a.png", CONTENT)}
    answer = client.post("/v1/mask", files=files, headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (406, "not-acceptable")
    check(client.get("/v1/models", headers={"accept": "image/png"}), 406, "not-acceptable")


def test_full_queue_says_when_to_come_back(make_client, pipeline):
    """One request at work and room for one: the next is 429 with Retry-After."""
    import threading
    from concurrent.futures import ThreadPoolExecutor

    entered, leave = threading.Event(), threading.Event()
    original = pipeline.backend.infer

    def wait(network_input):
        entered.set()
        leave.wait(10)
        return original(network_input)

    pipeline.backend.infer = wait
    client = make_client(queue_capacity=1)
    with ThreadPoolExecutor(1) as executor:
        first = executor.submit(post, client, CONTENT, pixel_size_mm="0.1")
        entered.wait(10)
        answer = post(client, CONTENT, pixel_size_mm="0.2")
        ready, alive = client.get("/readyz"), client.get("/livez")
        leave.set()
        assert first.result().status_code == 201
    check(answer, 429, "overloaded")
    assert answer.headers["retry-after"] == "1"
    check(ready, 503, "not-ready")
    assert alive.status_code == 200
    assert client.get("/readyz").status_code == 200


def test_slow_inference_is_a_timeout(make_client, pipeline):
    """An answer that takes longer than allowed is 504, and its place is given back."""
    import time

    original = pipeline.backend.infer

    def dawdle(network_input):
        time.sleep(0.4)
        return original(network_input)

    pipeline.backend.infer = dawdle
    client = make_client(request_timeout_ms=50, queue_capacity=1)
    check(post(client, CONTENT), 504, "timeout")
    time.sleep(0.6)
    assert client.get("/readyz").status_code == 200


def test_our_own_failure_is_a_fixed_sentence(make_client, pipeline):
    """An exception inside says nothing of itself."""

    def fail(network_input):
        raise RuntimeError("secret /etc/path")

    pipeline.backend.infer = fail
    client = make_client()
    answer = post(client, CONTENT)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
    assert "secret" not in answer.text
