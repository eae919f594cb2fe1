import re
import socket

import pytest

from tests.service.http.test_problems import CONTENT
from tests.service.test_lifecycle import PATIENCE_S, Process
from tests.support.raw_http import BOUNDARY, to_form

FORM = to_form(CONTENT)


@pytest.fixture(scope="module")
def service():
    process = Process()
    yield process
    process.end()


def exchange(service, content: bytes, *headers: str, closes: bool = False) -> bytes:
    """Send bytes as they are and return all that comes until the server closes."""
    head = "\r\n".join(
        [
            "POST /v1/analyses HTTP/1.1",
            "Host: localhost",
            "Connection: close",
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
            *headers,
        ]
    )
    with socket.create_connection(("127.0.0.1", service.port), PATIENCE_S) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n" + content)
        if closes:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer


def check_alive(service) -> None:
    assert (service.get("/livez"), service.get("/readyz")) == (200, 200)


def to_status(answer: bytes) -> int:
    return int(re.match(rb"HTTP/1.1 (\d+)", answer)[1])


def test_body_longer_than_announced(service):
    """What is announced is a cut form and is refused; the rest is no second request."""
    answer = exchange(service, FORM, "Content-Length: 200")
    assert to_status(answer) in (400, 422)
    assert b" 201 " not in answer
    check_alive(service)


def test_body_shorter_than_announced_and_half_closed(service):
    """The client says no more, and nothing waits for the rest."""
    exchange(service, FORM[:500], f"Content-Length: {len(FORM)}", closes=True)
    check_alive(service)


def test_chunked_body_without_a_length_is_measured(service):
    """A body in chunks is a body like any other."""
    service.release()
    chunks = b"".join(
        f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (FORM[:700], FORM[700:], b"")
    )
    assert to_status(exchange(service, chunks, "Transfer-Encoding: chunked")) == 201


@pytest.mark.parametrize("length", ["-1", "abc", "1e3"])
def test_length_that_is_none(service, length):
    """A length that is no number is refused by the server, and the next request is answered."""
    assert to_status(exchange(service, FORM, f"Content-Length: {length}")) == 400
    check_alive(service)


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_request_that_asks_for_another_protocol_is_measured(service, protocol):
    """Its body is read, as Java's HTTP client needs, which asks for HTTP/2 each time."""
    service.release()
    headers = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol}", "HTTP2-Settings: AA")
    answer = exchange(service, FORM, *headers, f"Content-Length: {len(FORM)}")
    assert to_status(answer) in (200, 201)
    check_alive(service)
