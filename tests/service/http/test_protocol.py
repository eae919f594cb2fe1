import asyncio
from itertools import pairwise

import pytest
import uvicorn
from headcirc_service.http.connection_rules import (
    LEAST_REST_S,
    MOST_REST_S,
    REST_APART_S,
    STATE_NAME,
    ConnectionRules,
    Rests,
    to_connection_rules,
)
from headcirc_service.http.protocol import (
    LEAST_READ_BYTES,
    MOST_AHEAD,
    MOST_HEADER_BYTES,
    BoundedHeadersProtocol,
)
from headcirc_service.settings import Settings
from headcirc_service.telemetry.metrics import Metrics

from tests.service.http.test_wire import to_status

UPLOAD = b"POST /v1/analyses HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n"
PROBE = b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n"
PATIENCE_S = 60.0


class TlsTransport(asyncio.Transport):
    """What asyncio's TLS connections can do: no half-close."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.is_closed = b"", False
        self.left_bytes: list[int] = []
        """Unread, at each look."""

    def write(self, data: bytes) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return self.left_bytes.pop(0)

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


def begin_over_tls(app, **state) -> tuple[BoundedHeadersProtocol, TlsTransport]:
    config = uvicorn.Config(app, http=BoundedHeadersProtocol)
    protocol = BoundedHeadersProtocol(config, uvicorn.server.ServerState(), state)
    transport = TlsTransport()
    protocol.connection_made(transport)
    return protocol, transport


def test_early_answer_lingers_over_tls_too(monkeypatch):
    """It is read for a while and then closed, though its sending half cannot be closed alone."""
    monkeypatch.setattr("headcirc_service.http.protocol.LINGER_S", 0.1)

    async def refuse(scope, receive, send):
        headers = [(b"content-length", b"0"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 429, "headers": headers})
        await send({"type": "http.response.body"})

    async def ask() -> TlsTransport:
        protocol, transport = begin_over_tls(refuse)
        protocol.data_received(UPLOAD)
        while not protocol.cycle.response_complete:
            await asyncio.sleep(0)
        protocol.data_received(b"x")
        assert not transport.is_closed
        async with asyncio.timeout(PATIENCE_S):
            while not transport.is_closed:
                await asyncio.sleep(0.01)
        protocol.connection_lost(None)
        return transport

    assert to_status(asyncio.run(ask()).written) == 429


def test_large_headers_are_not_refused_before_an_earlier_answer():
    """Sent ahead, they close the connection: their refusal would be taken for that answer."""

    async def hold(scope, receive, send):
        await asyncio.Event().wait()

    async def ask() -> tuple[bool, bytes]:
        protocol, transport = begin_over_tls(hold)
        protocol.data_received(PROBE + b"GET /")
        protocol.data_received(b"a" * (MOST_HEADER_BYTES + 1))
        return transport.is_closed, transport.written

    assert asyncio.run(ask()) == (True, b"")


@pytest.mark.parametrize("ahead", [MOST_AHEAD, MOST_AHEAD + 1])
def test_requests_sent_ahead_are_bounded(ahead):
    """So many may wait for the first one's answer; of more, none is kept and none is answered."""

    async def hold(scope, receive, send):
        await asyncio.Event().wait()

    async def ask() -> tuple[bool, bytes]:
        protocol, transport = begin_over_tls(hold)
        protocol.data_received(PROBE * (1 + ahead))
        return transport.is_closed, transport.written

    assert asyncio.run(ask()) == (ahead > MOST_AHEAD, b"")


@pytest.mark.parametrize("trailers", [b"X: y\r\n" * 2_000, b"a" * 10_000], ids=["many", "long"])
def test_trailers_without_an_end_are_not_kept(trailers):
    """What comes after a body's last part is bounded as headers are; the body itself is not."""

    async def hold(scope, receive, send):
        await asyncio.Event().wait()

    async def ask() -> tuple[bool, bytes]:
        protocol, transport = begin_over_tls(hold)
        protocol.data_received(UPLOAD.replace(b"Content-Length: 9", b"Transfer-Encoding: chunked"))
        for _ in range(9):
            protocol.data_received(b"2710\r\n" + bytes(10_000) + b"\r\n")
        assert not transport.is_closed
        protocol.data_received(b"0\r\nX: ")
        for _ in range(9):
            protocol.data_received(trailers)
        return transport.is_closed, transport.written

    assert asyncio.run(ask()) == (True, b"")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"GET /" + b"a" * (MOST_HEADER_BYTES + 1), "headers-too-large"),
        (b"GET / no HTTP\r\n\r\n", "malformed-request"),
    ],
)
def test_refusal_below_the_application_is_counted(sent, code):
    """What is answered before there is a request counts among the refused ones, once."""
    metrics = Metrics()

    async def ask() -> None:
        rules = to_connection_rules(Settings(), metrics)
        protocol, transport = begin_over_tls(None, **{STATE_NAME: rules})
        protocol.data_received(sent[:5])
        protocol.data_received(sent[5:])
        assert transport.written
        protocol.connection_lost(None)

    asyncio.run(ask())
    assert metrics.registry.get_sample_value("headcirc_rejected_total", {"reason": code}) == 1


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
        rules = ConnectionRules(upload_timeout_s=0.0)
        protocol, transport = begin_over_tls(None, **{STATE_NAME: rules})
        transport.left_bytes = [*left_bytes]
        protocol.pause_writing()
        async with asyncio.timeout(PATIENCE_S):
            while transport.left_bytes:
                await asyncio.sleep(0)
        protocol.resume_writing()
        await asyncio.sleep(0.01)
        is_cut = transport.is_closed
        protocol.connection_lost(None)
        return is_cut

    assert asyncio.run(ask()) == is_cut


def test_rests_end_one_after_the_other():
    """The first rests for the least time, each next one a little longer, none beyond the most."""
    rests = Rests(clock=lambda: 100.0)
    taken_s = [rests.take_s() for _ in range(1000)]
    assert taken_s[0] == pytest.approx(LEAST_REST_S)
    apart = round((MOST_REST_S - LEAST_REST_S) / REST_APART_S)
    for earlier_s, later_s in pairwise(taken_s[:apart]):
        assert later_s - earlier_s == pytest.approx(REST_APART_S)
    assert taken_s[apart + 1 :] == pytest.approx([MOST_REST_S] * (1000 - apart - 1))


def test_rests_begin_anew_when_the_crowd_is_gone():
    """A single refusal later rests for the least time."""
    now = [0.0]
    rests = Rests(clock=lambda: now[0])
    for _ in range(100):
        rests.take_s()
    now[0] = 10.0
    assert rests.take_s() == pytest.approx(LEAST_REST_S)


@pytest.mark.parametrize("parts", [1, 2])
def test_body_of_a_request_that_asks_for_another_protocol_is_no_second_request(parts):
    """What stands in it is the application's to read, however it arrives; then comes the next."""
    asks = UPLOAD.replace(b"9", b"%d\r\nConnection: Upgrade\r\nUpgrade: h2c" % len(PROBE))
    received = []

    async def read(scope, receive, send):
        body = (await receive())["body"]
        received.append((scope["method"], dict(scope["headers"]).get(b"upgrade"), body))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def ask() -> None:
        protocol, transport = begin_over_tls(read)
        for part in [asks + PROBE * 2] if parts == 1 else [asks, PROBE * 2]:
            protocol.data_received(part)
        async with asyncio.timeout(PATIENCE_S):
            while len(received) < 2:
                await asyncio.sleep(0)
        assert not transport.is_closed
        protocol.connection_lost(None)

    asyncio.run(ask())
    assert received == [("POST", None, PROBE), ("GET", None, b"")]


def test_tunnel_is_refused():
    """CONNECT asks for no answer of ours, and ends the connection."""

    async def ask() -> tuple[bool, bytes]:
        protocol, transport = begin_over_tls(None)
        protocol.data_received(b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n")
        return transport.is_closed, transport.written

    is_closed, written = asyncio.run(ask())
    assert (is_closed, to_status(written)) == (True, 400)
