import socket
import time
from contextlib import ExitStack

import pytest
from headcirc_service.http.protocol import LINGER_S

from tests.service.http.test_problems import CONTENT
from tests.service.http.test_wire import to_status
from tests.service.test_lifecycle import PATIENCE_S, Process
from tests.support.raw_http import BOUNDARY, to_form

HEADER_TIMEOUT_S = 1.5
LARGE = to_form(CONTENT + bytes(8_000_000))
PROBE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def full():
    """Return a service with one place, which a request holds for as long as this lasts."""
    process = Process(
        HEADCIRC_QUEUE_CAPACITY="1",
        HEADCIRC_REQUEST_TIMEOUT_MS="600000",
        HEADCIRC_HEADER_TIMEOUT_MS=f"{HEADER_TIMEOUT_S * 1000:.0f}",
    )
    try:
        waiting = process.post()
        process.wait_for("in the network")
        yield process
        process.release()
        assert waiting.getresponse().status == 201
        waiting.close()
    finally:
        process.end()


@pytest.fixture
def stack():
    """Return what closes connections after the test, however it ends."""
    with ExitStack() as connections:
        yield connections


def connect(process, stack) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", process.port), PATIENCE_S)
    return stack.enter_context(connection)


def to_request(body: bytes, *headers: str) -> bytes:
    head = [
        "POST /v1/analyses HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}", *headers,
    ]  # fmt: skip
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def read_status(connection) -> int:
    """Read one answer, whose body is small and comes with its headers or right after."""
    answer = b""
    while b'"}' not in answer:
        part = connection.recv(65536)
        assert part, f"closed after {answer!r}"
        answer += part
    return to_status(answer)


def test_large_body_is_refused_before_it_is_read(full, stack):
    """Its headers are enough: the 429 is there before a byte of eight million was sent."""
    connection = connect(full, stack)
    connection.sendall(to_request(LARGE)[: -len(LARGE)])
    assert read_status(connection) == 429


@pytest.mark.parametrize("headers", [["Connection: close"], []], ids=["close", "keep-alive"])
def test_client_that_sends_before_it_reads_gets_its_refusal(full, stack, headers):
    """Eight megabytes are sent whole, without a reset, and the 429 is read after them."""
    connection = connect(full, stack)
    connection.sendall(to_request(LARGE, *headers))
    assert read_status(connection) == 429
    if headers:
        assert connection.recv(1) == b""


def test_refused_body_may_take_longer_than_headers(full, stack):
    """A slow upload is not cut short by its refusal, which is read after it; more may follow."""
    connection = connect(full, stack)
    request = to_request(to_form(CONTENT))
    began_s = time.monotonic()
    connection.sendall(request[:-5])
    for each in request[-5:]:
        time.sleep(HEADER_TIMEOUT_S / 2)
        connection.sendall(bytes([each]))
    assert read_status(connection) == 429
    connection.sendall(PROBE)
    assert read_status(connection) == 200
    assert time.monotonic() - began_s > 2 * HEADER_TIMEOUT_S


def read_all(connection) -> bytes:
    answer = b""
    while part := connection.recv(65536):
        answer += part
    return answer


def send_until_closed(connection) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        try:
            connection.sendall(b"x")
        except TimeoutError:
            pytest.fail("what is sent is neither read nor refused")
        except OSError:
            return
        time.sleep(0.05)
    pytest.fail("the connection is never closed")


def test_who_never_ends_is_closed_all_the_same(full, stack):
    """An early answer lingers for a while only."""
    connection = connect(full, stack)
    began_s = time.monotonic()
    connection.sendall(to_request(LARGE, "Connection: close")[:50_000])
    assert read_status(connection) == 429
    assert connection.recv(1) == b""
    send_until_closed(connection)
    assert time.monotonic() - began_s > 0.9 * LINGER_S


@pytest.mark.parametrize("start", [b"GET /livez HTTP/1.1\r\nX: ", b"GET /"])
def test_headers_without_an_end_are_not_kept(full, stack, start):
    """A name, a value or a path of megabytes is refused, and its client can read so."""
    connection = connect(full, stack)
    connection.sendall(start + 2_000_000 * b"a")
    assert to_status(read_all(connection)) == 400
    send_until_closed(connection)


@pytest.mark.parametrize("target", ["/v1/models", "h:1", "/v1/analyses"])
def test_nothing_follows_connect(full, stack, target):
    """Its answer is the last one of its connection: what stands in its body is no request."""
    connection = connect(full, stack)
    body = PROBE * 2
    head = f"CONNECT {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    for part in (head.encode(), body, PROBE):
        connection.sendall(part)
    answer = read_all(connection)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert to_status(answer) == 405
    assert b"connection: close" in answer.lower()
    assert b"alive" not in answer


def test_nothing_follows_a_body_with_two_lengths(full, stack):
    """A proxy that goes by `Content-Length` takes what follows the chunks for the same body."""
    connection = connect(full, stack)
    body = b"0\r\n\r\n" + PROBE
    head = (
        "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    answer = read_all(connection)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answer.lower()
    assert b"alive" not in answer
