import socket
import time
from contextlib import ExitStack

import pytest

from service.protocol import LEAST_REST_S, LINGER_S, MOST_REST_S, REST_APART_S, Rests
from tests.service.raw import BOUNDARY, to_form
from tests.service.test_lifecycle import PATIENCE_S, Process
from tests.service.test_problems import CONTENT
from tests.service.test_wire import to_status

LARGE = to_form(CONTENT + bytes(8_000_000))
PROBE = b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(scope="module")
def full():
    """Return a service with one place, which a request holds for as long as this lasts."""
    process = Process(HEADCIRC_QUEUE_CAPACITY="1")
    waiting = process.post()
    process.wait_for("in the network")
    yield process
    process.release()
    assert waiting.getresponse().status == 201
    waiting.close()
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
        "POST /v1/analyses HTTP/1.1", "Host: h", f"Content-Length: {len(body)}",
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


def test_refused_connection_rests_and_others_do_not(full, stack):
    """What is sent at once after a 429 is read after the rest; others are refused and answered."""
    refused, other = connect(full, stack), connect(full, stack)
    began_s = time.monotonic()
    refused.sendall(to_request(to_form(CONTENT)))
    assert read_status(refused) == 429
    refused.sendall(PROBE)
    other.sendall(PROBE)
    assert read_status(other) == 200
    assert read_status(refused) == 200
    assert time.monotonic() - began_s > LEAST_REST_S


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


def test_who_never_ends_is_closed_all_the_same(full, stack):
    """An early answer lingers for a while only."""
    connection = connect(full, stack)
    connection.sendall(to_request(LARGE, "Connection: close")[:50_000])
    assert read_status(connection) == 429
    began_s = time.monotonic()
    assert connection.recv(1) == b""
    while time.monotonic() - began_s < PATIENCE_S:
        try:
            connection.sendall(b"x")
        except OSError:
            break
        time.sleep(0.05)
    assert 0.9 * LINGER_S < time.monotonic() - began_s < PATIENCE_S


@pytest.mark.parametrize("start", [b"GET /livez HTTP/1.1\r\nX: ", b"GET /"])
def test_headers_without_an_end_are_not_kept(full, stack, start):
    """A name, a value or a path of megabytes is refused after some 64 KB, long before its time."""
    connection = connect(full, stack)
    connection.sendall(start)
    began_s, sent_bytes = time.monotonic(), 0
    connection.settimeout(0.5)
    while time.monotonic() - began_s < PATIENCE_S:
        try:
            sent_bytes += connection.send(b"a" * 65_536)
        except OSError:
            break
    assert sent_bytes < 30_000_000  # the rest is in the sockets' buffers
    full.wait_for("headers are too long")


def test_rests_end_one_after_the_other():
    """The first rests for the least time, each next one a little longer, none beyond the most."""
    rests = Rests(clock=lambda: 100.0)
    taken_s = [rests.take_s() for _ in range(1000)]
    assert taken_s[0] == pytest.approx(LEAST_REST_S)
    assert taken_s[10] - taken_s[9] == pytest.approx(REST_APART_S)
    assert taken_s[-1] == pytest.approx(MOST_REST_S)


def test_rests_begin_anew_when_the_crowd_is_gone():
    """A single refusal later rests for the least time."""
    now = [0.0]
    rests = Rests(clock=lambda: now[0])
    for _ in range(100):
        rests.take_s()
    now[0] = 10.0
    assert rests.take_s() == pytest.approx(LEAST_REST_S)
