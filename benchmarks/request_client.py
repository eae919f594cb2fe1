"""Time whole requests over loopback with a client that needs little CPU time.

The requests are prepared before. A plain socket sends one request and reads one answer; the JSON
is parsed after the timing.
"""

import json
import socket
from collections.abc import Sequence
from functools import partial

from benchmarks.interleaving import take_turn
from harness.service_process import ADDRESS, RunningService, ServiceFailedError

TIMEOUT_S = 60.0
BLOCK_BYTES = 65_536
END_OF_HEAD = b"\r\n\r\n"
LENGTH_HEADER = b"\r\ncontent-length:"
STATUS, SUCCESS = slice(9, 12), b"2"
"""Position of the status in `HTTP/1.1 201`, and the first digit of a good one."""


class RequestClient:
    """Send the same requests to a service repeatedly, on one connection per turn.

    A connection cannot be kept between turns, because the service closes idle connections after
    some seconds.
    """

    def __init__(self, service: RunningService, requests: Sequence[bytes]) -> None:
        self._service = service
        self._requests = requests
        self._next = 0
        self._bodies: list[bytes] = []
        self.asked = 0
        """How many requests were sent, timed or not."""
        self.stages_ms: dict[str, list[float]] = {}

    def ask(self, connection: socket.socket) -> None:
        """Send the next request and keep the body of the answer.

        Raises
        ------
        ServiceFailedError
            The status is not 200 or 201, or the connection was closed.
        """
        connection.sendall(self._requests[self._next])
        self._next = (self._next + 1) % len(self._requests)
        self._bodies.append(receive_body(connection))
        self.asked += 1

    def take_turn(self, *, limit_s: float, most_calls: int) -> list[float]:
        """Return the milliseconds of a few requests, and add their stages to `stages_ms`."""
        with socket.create_connection((ADDRESS, self._service.port), TIMEOUT_S) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ask = partial(self.ask, connection)
            samples_ms = take_turn(ask, limit_s=limit_s, most_calls=most_calls)
        timed = self._bodies[-len(samples_ms) :]
        for body, whole_ms in zip(timed, samples_ms, strict=True):
            timing_ms = json.loads(body)["timing_ms"]
            outside_ms = whole_ms - timing_ms["total"]
            for stage, spent_ms in (timing_ms | {"http": outside_ms}).items():
                self.stages_ms.setdefault(stage, []).append(spent_ms)
        self._bodies.clear()
        return samples_ms

    def forget(self) -> None:
        """Discard the stages of the warm-up."""
        self.stages_ms.clear()


def receive_body(connection: socket.socket) -> bytes:
    """Return the body of one answer.

    Raises
    ------
    ServiceFailedError
        The status is not 200 or 201, or the connection was closed.
    """
    content = b""
    while END_OF_HEAD not in content:
        content += _receive_block(connection)
    head, _, body = content.partition(END_OF_HEAD)
    _, found, length = head.lower().partition(LENGTH_HEADER)
    if not found:
        raise ServiceFailedError("The service's answer has no Content-Length.")
    length_bytes = int(length.split(b"\r\n", maxsplit=1)[0])
    while len(body) < length_bytes:
        body += _receive_block(connection)
    if not head[STATUS].startswith(SUCCESS):
        raise ServiceFailedError(f"The service returned {head[STATUS].decode()}: {body.decode()}")
    return body


def _receive_block(connection: socket.socket) -> bytes:
    block = connection.recv(BLOCK_BYTES)
    if not block:
        raise ServiceFailedError("The service closed the connection.")
    return block
