import os
import socket
import time
from contextlib import ExitStack

import pytest

from harness.service_process import start_service
from headcirc.pipeline import SHIPPED_MODEL_DIR
from tests.service.http.test_problems import CONTENT
from tests.service.http.test_wire import to_status
from tests.support.raw_http import BOUNDARY, to_form

CROWD = 60
PATIENCE_S = 60.0
TRICKLE_S = 0.1
TIMEOUT_MS = "1000"
FORM = to_form(CONTENT)
HEAD = (
    "POST /v1/analyses HTTP/1.1\r\nHost: localhost\r\n"
    f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len(FORM)}\r\n"
).encode()
REFUSED = b"POST /v1/none HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n"
PROBE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def service():
    """Return a running service that waits one second for headers and bodies."""
    settings = {"header_timeout_ms": TIMEOUT_MS, "upload_timeout_ms": TIMEOUT_MS}
    with start_service(SHIPPED_MODEL_DIR, **settings) as running:
        yield running


@pytest.fixture
def stack():
    """Return an exit stack that closes the connections after the test."""
    with ExitStack() as connections:
        yield connections


def connect(service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), PATIENCE_S)


def count_open_files(service) -> int:
    return len(os.listdir(f"/proc/{service.pid}/fd"))


def trickle(connections: list[socket.socket], byte: bytes) -> bytes:
    """Send bytes on each connection until all are closed; return the received bytes."""
    heard = b""
    left = list(connections)
    until_s = time.monotonic() + PATIENCE_S
    while left:
        assert time.monotonic() < until_s, f"{len(left)} connections are still held"
        time.sleep(TRICKLE_S)
        for each in tuple(left):
            try:
                each.sendall(byte)
                each.setblocking(False)
                part = each.recv(65536)
            except BlockingIOError:
                continue
            except OSError:  # reset: closed while a byte was on its way
                part = b""
            heard += part
            if not part:
                left.remove(each)
    return heard


def ask(service) -> int:
    """Post a complete picture and return the status after the server closes the connection."""
    with connect(service) as connection:
        connection.sendall(HEAD + b"Connection: close\r\n\r\n" + FORM)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return to_status(answer)


def wait_for_open_files(service, most: int) -> int:
    """Wait until at most `most` files are open; return their number."""
    until_s = time.monotonic() + PATIENCE_S
    while (found := count_open_files(service)) > most:
        assert time.monotonic() < until_s, f"{found} files are open, at most {most} were expected"
        time.sleep(TRICKLE_S)
    return found


@pytest.mark.parametrize(
    "trickled",
    [
        pytest.param((b"", b"\r\n", b""), id="blank lines"),
        pytest.param((b"GET /livez HTTP/1.1\r\nX-", b"a", b""), id="headers"),
        pytest.param((HEAD + b"\r\n" + FORM[:200], b"a", b"timeout"), id="body"),
        pytest.param((REFUSED, b"a", b"not-found"), id="body of a refused request"),
        pytest.param((PROBE, b"G", b"alive"), id="second request"),
    ],
)
def test_trickle_holds_no_connection(service, stack, record, request, trickled):
    """Connections that send bytes slowly are closed; other clients are answered meanwhile."""
    sent, byte, answer = trickled
    assert ask(service) in (200, 201)
    before = count_open_files(service)
    connections = [stack.enter_context(connect(service)) for _ in range(CROWD)]
    for each in connections:
        each.sendall(sent)
    heard = trickle(connections, byte)
    assert answer in heard
    assert ask(service) in (200, 201)
    for each in connections:
        each.close()
    after = wait_for_open_files(service, before)
    case = request.node.callspec.id.replace(" ", "_")
    record(f"trickle_{case}", connections=CROWD, open_files_before=before, open_files_after=after)


def test_half_closed_uploads_leave_nothing(service, stack, record):
    """Clients send half of an announced picture and then close their side; no file stays open."""
    assert ask(service) in (200, 201)
    before = count_open_files(service)
    connections = [stack.enter_context(connect(service)) for _ in range(CROWD)]
    for each in connections:
        each.sendall(HEAD + b"\r\n" + FORM[: len(FORM) // 2])
        each.shutdown(socket.SHUT_WR)
    for each in connections:
        while each.recv(65536):
            pass
        each.close()
    assert ask(service) in (200, 201)
    after = wait_for_open_files(service, before)
    record("half_closed", connections=CROWD, open_files_before=before, open_files_after=after)
