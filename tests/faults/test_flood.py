import resource
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

from harness.service_process import start_service
from headcirc.pipeline import SHIPPED_MODEL_DIR
from tests.service.http.test_problems import CONTENT
from tests.service.http.test_wire import to_status
from tests.support.raw_http import BOUNDARY, to_form

OPEN_FILES = 1_024
"""Debian's default."""
FLOOD = 5_000
PAUSE_S = 0.0005
"""Pause between two connections: about 1,500 per second, which leaves CPU time to answer."""
PATIENCE_S = 20.0
FORM = to_form(CONTENT)
SILENT_UPLOAD = (
    f"POST /v1/analyses HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(FORM)}\r\n"
    f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
).encode()


@contextmanager
def open_files(most: int):
    """Limit the number of open files of this process and of the processes that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Flood:
    """Open idle connections continuously until the context ends."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.opened = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        held: list[socket.socket] = []
        while not self._stop.is_set():
            held.append(socket.socket())
            held[-1].setblocking(False)
            held[-1].connect_ex(("127.0.0.1", self._port))
            self.opened += 1
            time.sleep(PAUSE_S)
            if len(held) > FLOOD // 2:
                held.pop(0).close()
        for each in held:
            each.close()

    def __enter__(self) -> "Flood":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def get(port: int, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("GET", path)
    status = connection.getresponse().status
    connection.close()
    return status


def connect(port: int, client: str) -> socket.socket:
    """Connect from a given address of the loopback network."""
    return socket.create_connection(("127.0.0.1", port), PATIENCE_S, (client, 0))


def ask(port: int, client: str) -> int:
    """Post a picture from a given address and return the status."""
    with connect(port, client) as connection:
        connection.sendall(SILENT_UPLOAD + b"Connection: close\r\n\r\n" + FORM)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return to_status(answer)


def test_probes_are_answered_in_a_flood_of_idle_connections(record):
    """There are more connections than allowed open files; the log does not grow."""
    with ExitStack() as stack:
        with open_files(OPEN_FILES):
            service = stack.enter_context(start_service(SHIPPED_MODEL_DIR))
        log = Path(f"/proc/{service.pid}/fd/2")
        before_bytes = log.stat().st_size
        waits_s = []
        with open_files(2 * FLOOD), Flood(service.port) as flood:
            while flood.opened < FLOOD:
                began_s = time.perf_counter()
                assert get(service.port, "/livez") == 200
                waits_s.append(time.perf_counter() - began_s)
        assert get(service.port, "/readyz") == 200
        logged_bytes = log.stat().st_size - before_bytes
    assert logged_bytes < 10_000
    record(
        "flood",
        connections=flood.opened,
        open_files=OPEN_FILES,
        probes=len(waits_s),
        longest_probe_s=round(max(waits_s), 3),
        logged_bytes=logged_bytes,
    )


def test_silent_uploads_keep_nobody_out_for_long(record):
    """One address cannot fill the queue; several make the service not ready until they are cut."""
    with ExitStack() as stack, start_service(SHIPPED_MODEL_DIR, queue_capacity="16") as service:

        def send_silently(client: str) -> None:
            connection = stack.enter_context(connect(service.port, client))
            connection.sendall(SILENT_UPLOAD + b"\r\n" + FORM[:100])

        for _ in range(64):
            send_silently("127.0.0.2")
        assert get(service.port, "/readyz") == 200
        assert ask(service.port, "127.0.0.3") in (200, 201)
        full_s = time.monotonic()
        until_s = full_s + PATIENCE_S
        for number in count():
            if get(service.port, "/readyz") != 200:
                break
            assert time.monotonic() < until_s, "the service is ready though its queue is full"
            send_silently(f"127.0.0.{4 + number % 8}")
        assert ask(service.port, "127.0.0.3") == 429
        while get(service.port, "/readyz") != 200:
            assert time.monotonic() < until_s, "silent uploads are never closed"
            time.sleep(0.05)
        kept_out_s = time.monotonic() - full_s
        assert ask(service.port, "127.0.0.3") in (200, 201)
    record("silent_uploads", uploads=64, kept_others_out_s=round(kept_out_s, 1))
