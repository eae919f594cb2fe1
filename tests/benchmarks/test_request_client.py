import json
import socket
import threading

import pytest

from benchmarks.request_client import RequestClient
from harness import pictures as questions
from harness.pictures import (
    BOUNDARY,
    HEIGHT_PX,
    WIDTH_PX,
    Picture,
    is_usual_size,
    load_pictures,
    to_http_request,
)
from harness.service_process import ADDRESS, RunningService, ServiceFailedError

PICTURE = Picture(b"\x89PNG bytes", 0.1277)


@pytest.fixture
def answer_with():
    """Return a function that answers every request on one connection with the same bytes."""
    with socket.create_server((ADDRESS, 0)) as server:

        def answer(*blocks):
            def run():
                connection, _ = server.accept()
                with connection:
                    while connection.recv(65_536):
                        for block in blocks:
                            connection.sendall(block)

            threading.Thread(target=run, daemon=True).start()
            return RunningService(server.getsockname()[1], pid=0, ready_s=0.0)

        yield answer


def to_response(status, body):
    head = f"HTTP/1.1 {status} X\r\nserver: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_a_form_has_image_and_pixel_size():
    """The request has both parts, the closing boundary and the right length."""
    head, _, body = to_http_request(PICTURE).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert PICTURE.content in body
    assert b'name="pixel_size_mm"\r\n\r\n0.1277\r\n' in body
    assert body.endswith(f"--{BOUNDARY}--\r\n".encode())


def test_phantoms_replace_hc18_when_it_is_missing(tmp_path, monkeypatch):
    """The phantoms have the usual size, and the description names them."""
    monkeypatch.setattr(questions, "PHANTOMS", 1)
    words, pictures = load_pictures(tmp_path)
    assert "phantoms" in words
    assert pictures
    assert all(is_usual_size(picture.content) for picture in pictures)
    assert (WIDTH_PX, HEIGHT_PX) == (800, 540)


def test_answer_in_several_blocks_is_read_completely(answer_with):
    """The stages of the service are kept, and the rest of the request is `http`."""
    body = json.dumps({"timing_ms": {"decode": 0.001, "total": 0.002}}).encode()
    response = to_response(200, body)
    service = answer_with(response[:30], response[30:90], response[90:])
    client = RequestClient(service, [to_http_request(PICTURE)])
    samples_ms = client.take_turn(limit_s=60, most_calls=2)
    assert len(samples_ms) == 2
    assert client.stages_ms["decode"] == [0.001, 0.001]
    assert client.stages_ms["http"] == [pytest.approx(each - 0.002) for each in samples_ms]


def test_error_answer_stops_the_measurement(answer_with):
    """A refusal raises an error with the body of the answer."""
    service = answer_with(to_response(429, b"busy"))
    client = RequestClient(service, [to_http_request(PICTURE)])
    with pytest.raises(ServiceFailedError, match="429: busy"):
        client.take_turn(limit_s=60, most_calls=1)
