import asyncio
import logging

import pytest
import uvicorn
from headcirc_service.http.holding import hold_reading
from headcirc_service.http.protocol import (
    LEAST_READ_BYTES,
    STATE_NAME,
    BoundedProtocol,
    ConnectionLimits,
    choose_most_connections,
    to_connection_limits,
)
from headcirc_service.settings import Settings
from headcirc_service.telemetry.metrics import Metrics

from tests.service.http.test_wire import to_status

UPLOAD = b"POST /v1/analyses HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
CHUNKED = UPLOAD.replace(b"Content-Length: 9", b"Transfer-Encoding: chunked")
PROBE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATIENCE_S = 60.0


class Wire(asyncio.Transport):
    """A connection of which a test says how much of its answer is unread."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.is_cut, self.is_closed, self.is_half_closed = b"", False, False, False
        self.is_held = False
        self.left_bytes: list[int] = []
        """Unread, at each look."""

    def write(self, data: bytes) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.is_half_closed = True

    def get_write_buffer_size(self) -> int:
        return self.left_bytes.pop(0) if self.left_bytes else 0

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = self.is_cut = True

    def pause_reading(self) -> None:
        self.is_held = True

    def resume_reading(self) -> None:
        self.is_held = False


class Server:
    """What uvicorn's connections share."""

    def __init__(self, app, **limits) -> None:
        self._config = uvicorn.Config(app, http=BoundedProtocol, ws="none")
        self._state = uvicorn.server.ServerState()
        self._limits = {STATE_NAME: ConnectionLimits(**limits)}

    def connect(self) -> tuple[BoundedProtocol, Wire]:
        protocol = BoundedProtocol(self._config, self._state, self._limits)
        wire = Wire()
        protocol.connection_made(wire)
        return protocol, wire


async def hold(scope, receive, send):
    """Answer nothing."""
    await asyncio.Event().wait()


async def refuse(scope, receive, send):
    """Answer before the body is read."""
    await send({"type": "http.response.start", "status": 429, "headers": []})
    await send({"type": "http.response.body"})


async def wait_until(is_so) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await asyncio.sleep(0.001)


def test_trailers_without_an_end_are_not_kept():
    """What comes after a body's last part is bounded as headers are; the body itself is not."""

    async def ask() -> Wire:
        protocol, wire = Server(hold).connect()
        protocol.data_received(CHUNKED)
        for _ in range(9):
            protocol.data_received(b"2710\r\n" + bytes(10_000) + b"\r\n")
        assert not wire.is_closed
        protocol.data_received(b"0\r\nX: ")
        for _ in range(9):
            protocol.data_received(b"a" * 10_000)
        return wire

    assert asyncio.run(ask()).is_closed


@pytest.mark.parametrize(
    ("left_bytes", "is_cut"),
    [
        ([3 * LEAST_READ_BYTES, 3 * LEAST_READ_BYTES], True),
        ([3 * LEAST_READ_BYTES, 2 * LEAST_READ_BYTES + 1], True),
        ([100_000, 99_000], True),
        ([3 * LEAST_READ_BYTES, 2 * LEAST_READ_BYTES, LEAST_READ_BYTES], False),
        ([100_000], False),
    ],
)
def test_answer_that_is_not_read_is_not_kept(left_bytes, is_cut):
    """Who reads enough each time, or all of it, is waited for; another client's connection ends."""

    async def ask() -> bool:
        protocol, wire = Server(hold, upload_timeout_s=0.0).connect()
        wire.left_bytes = [*left_bytes]
        protocol.pause_writing()
        async with asyncio.timeout(PATIENCE_S):
            while wire.left_bytes:
                await asyncio.sleep(0)
        protocol.resume_writing()
        await asyncio.sleep(0.01)
        return wire.is_cut

    assert asyncio.run(ask()) == is_cut


def test_unread_rest_of_an_answer_does_not_keep_a_closed_connection():
    """A few kilobytes, too little to stop the writer, are dropped as well."""

    async def ask() -> bool:
        protocol, wire = Server(hold, upload_timeout_s=0.0, header_timeout_s=0.0).connect()
        wire.left_bytes = [5_000] * 9
        await wait_until(lambda: wire.is_closed)
        await wait_until(lambda: wire.is_cut)
        protocol.connection_lost(None)
        return wire.is_cut

    assert asyncio.run(ask())


@pytest.mark.parametrize("parts", [1, 2])
def test_body_of_a_request_that_asks_for_another_protocol_is_no_second_request(parts, caplog):
    """Its body is the application's to read, however it arrives; then comes the next request."""
    asks = UPLOAD.replace(b"9", b"%d\r\nConnection: Upgrade\r\nUpgrade: h2c" % len(PROBE))
    received = []

    async def read(scope, receive, send):
        received.append((scope["method"], (await receive())["body"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def ask() -> None:
        protocol, wire = Server(read).connect()
        for part in [asks + PROBE * 2] if parts == 1 else [asks, PROBE * 2]:
            protocol.data_received(part)
        await wait_until(lambda: len(received) == 2)
        assert not wire.is_closed
        protocol.connection_lost(None)

    with caplog.at_level(logging.WARNING):
        asyncio.run(ask())
    assert received == [("POST", PROBE), ("GET", b"")]
    assert not caplog.records


@pytest.mark.parametrize("app", [refuse, hold], ids=["answered", "being answered"])
def test_body_that_is_no_http_ends_quietly(app, caplog):
    """Whether or not its request was answered, the connection ends and nothing is raised."""

    async def ask() -> Wire:
        protocol, wire = Server(app).connect()
        protocol.data_received(CHUNKED)
        if app is refuse:
            await wait_until(lambda: protocol.cycle.response_complete)
        protocol.data_received(b"no length\r\n")
        protocol.connection_lost(None)
        await asyncio.sleep(0.01)
        return wire

    with caplog.at_level(logging.ERROR):
        assert asyncio.run(ask()).is_closed
    assert not caplog.records


def test_held_connection_is_read_again_after_its_answer():
    """While the application holds it, the rest of the body waits in the network."""

    async def ask() -> tuple[bool, bool]:
        may_answer = asyncio.Event()

        async def hold_and_refuse(scope, receive, send):
            hold_reading(scope)
            await may_answer.wait()
            await refuse(scope, receive, send)

        protocol, wire = Server(hold_and_refuse).connect()
        protocol.data_received(UPLOAD)
        await wait_until(lambda: wire.is_held)
        may_answer.set()
        await wait_until(lambda: protocol.cycle.response_complete)
        return b" 429 " in wire.written, wire.is_held

    assert asyncio.run(ask()) == (True, False)


def test_early_answer_is_followed_by_a_half_close_and_a_close(monkeypatch):
    """What the client still sends is dropped until then."""
    monkeypatch.setattr("headcirc_service.http.protocol.LINGER_S", 0.1)

    async def ask() -> Wire:
        protocol, wire = Server(refuse).connect()
        protocol.data_received(UPLOAD.replace(b"Host", b"Connection: close\r\nHost"))
        await wait_until(lambda: wire.is_half_closed)
        protocol.data_received(b"x")
        assert not wire.is_closed
        await wait_until(lambda: wire.is_closed)
        return wire

    assert to_status(asyncio.run(ask()).written) == 429


def test_new_connection_takes_the_place_of_one_that_waited_longest():
    """Only those that are being answered are safe; among nobody else the new one is cut."""

    async def ask() -> tuple[list[bool], list[bool]]:
        server = Server(hold, most_connections=3)
        working = server.connect()
        working[0].data_received(PROBE)
        waiting = []
        for _ in range(4):
            await asyncio.sleep(0.01)
            waiting.append(server.connect())
        cut = [wire.is_cut for _, wire in (working, *waiting)]
        for protocol, _ in waiting[2:]:
            protocol.data_received(PROBE)
        late = server.connect()
        return cut, [wire.is_cut for _, wire in (working, *waiting[2:], late)]

    first, then = asyncio.run(ask())
    assert first == [False, True, True, False, False]
    assert then == [False, False, False, True]


def test_crowd_at_one_moment_cuts_no_more_than_it_must():
    """Those that were cut make room at once, before the system has closed them."""

    async def ask() -> int:
        server = Server(hold, most_connections=80)
        wires = [server.connect()[1] for _ in range(160)]
        return sum(not wire.is_cut for wire in wires)

    assert 70 <= asyncio.run(ask()) <= 80


def test_connection_that_lingers_is_cut_for_a_new_one():
    """Else bad requests could take all places for a while."""

    async def ask() -> list[bool]:
        server = Server(hold, most_connections=1)
        protocol, lingering = server.connect()
        protocol.data_received(b"no HTTP\r\n\r\n")
        assert lingering.is_half_closed
        assert not lingering.is_closed
        _, late = server.connect()
        return [lingering.is_cut, late.is_cut]

    assert asyncio.run(ask()) == [True, False]


def test_rest_of_an_answer_is_waited_for_no_longer_when_most_was_read():
    """A closed connection with a few unread kilobytes ends, too."""

    async def ask() -> bool:
        protocol, wire = Server(refuse, upload_timeout_s=0.05).connect()
        wire.left_bytes = [5_000] * 9
        protocol.data_received(PROBE.replace(b"Host", b"Connection: close\r\nHost"))
        await wait_until(lambda: wire.is_closed)
        protocol.pause_writing()
        protocol.resume_writing()
        await wait_until(lambda: wire.is_cut)
        protocol.connection_lost(None)
        return wire.is_cut

    assert asyncio.run(ask())


def test_cut_connections_are_counted():
    """Nothing is logged for them, as a flood of them would fill the disk."""
    metrics = Metrics()

    async def ask() -> None:
        limits = to_connection_limits(Settings(header_timeout_ms=1), metrics)
        server = Server(hold, header_timeout_s=0.001, count_refusal=limits.count_refusal)
        _, wire = server.connect()
        await wait_until(lambda: wire.is_closed)

    asyncio.run(ask())
    told = {"reason": "slow-headers"}
    assert metrics.registry.get_sample_value("headcirc_rejected_total", told) == 1


@pytest.mark.parametrize(("soft", "most"), [(1024, 512), (1_048_576, 4096), (-1, 4096)])
def test_connections_leave_room_for_files(monkeypatch, soft, most):
    """Half of what may be opened is left, whatever that is."""
    monkeypatch.setattr("resource.getrlimit", lambda _: (soft, soft))
    assert choose_most_connections() == most
