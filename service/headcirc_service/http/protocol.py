"""uvicorn's h11 protocol with bounds on what one connection, and all of them together, may cost.

h11 parses; nothing here reads or writes HTTP. This file adds what uvicorn does not have: a bound on
the number of connections, time limits for headers, refused bodies and unread answers, and a close
that lets an early answer reach a client that is still sending. `headcirc_service.http.gate`
bounds the bodies that the application waits for.
"""

import asyncio
import logging
import resource
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from headcirc_service.settings import Settings
from headcirc_service.telemetry.metrics import Metrics

STATE_NAME = "connection_limits"
"""Under which the application's lifespan state holds its `ConnectionLimits`."""
LINGER_S = 2.0
"""After an early answer, what the client still sends is read and dropped for this long."""
LEAST_READ_BYTES = 1_000_000
"""Of an answer, or its rest, in each `upload_timeout_s`: 33 KB a second by default."""
MOST_CONNECTIONS = 4_096
"""Each idle one takes some 20 KB."""
UNSUPPORTED = ("Unsupported upgrade request", "No supported WebSocket library")
# Java's HTTP client asks for HTTP/2 on each connection; that is no reason for two warnings.
logging.getLogger("uvicorn.error").addFilter(lambda each: not str(each.msg).startswith(UNSUPPORTED))


def choose_most_connections() -> int:
    """Return half of what the process may open, at most `MOST_CONNECTIONS`.

    The other half is for files, and for connections that asyncio accepted and has not shown yet.
    Without room it would log an error for each connection that waits, many times a second.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if soft < 0 else min(soft // 2, MOST_CONNECTIONS)


@dataclass(frozen=True)
class ConnectionLimits:
    """What holds for all connections of one application."""

    header_timeout_s: float = 10.0
    upload_timeout_s: float = 30.0
    most_connections: int = field(default_factory=choose_most_connections)
    count_refusal: Callable[[str], None] = lambda code: None
    """Told why a connection was cut, which the application never sees."""


def to_connection_limits(settings: Settings, metrics: Metrics) -> ConnectionLimits:
    """Return what the settings say of connections; those that are cut are counted."""
    return ConnectionLimits(
        settings.header_timeout_ms / 1000,
        settings.upload_timeout_ms / 1000,
        count_refusal=metrics.count_refusal,
    )


class BoundedProtocol(H11Protocol):
    """See the module: asyncio's callbacks, each of which calls uvicorn's."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.limits: ConnectionLimits = self.app_state.get(STATE_NAME) or ConnectionLimits()
        self.waiting_since_s = 0.0
        self._awaited: object = None  # of the client, as h11 names it; None while it is answered
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @property
    def is_waiting(self) -> bool:
        """Return whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request, and make room for this connection."""
        super().connection_made(LingeringTransport(transport, self))  # type: ignore[arg-type]
        self._follow()
        if len(self.connections) > self.limits.most_connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Read, unless the connection only waits for its client to close."""
        if self.transport.is_closing():
            return
        try:
            super().data_received(data)
        except h11.LocalProtocolError:  # no HTTP, and too late to answer 400
            self.transport.abort()
        self._follow()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read its answer."""
        super().pause_writing()
        self.await_reader()

    def resume_writing(self) -> None:
        """Wait no longer, as nearly all was read; unless the connection waits for the rest."""
        if not self.transport.is_closing():
            self._stop("reader")
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        for name in [*self._timers]:
            self._stop(name)
        super().connection_lost(exc)

    def start(self, name: str, wait_s: float, then: Callable[..., None], *told: object) -> None:
        """Start a timer in place of the one of the same name."""
        self._stop(name)
        self._timers[name] = self.loop.call_later(wait_s, then, *told)

    def await_reader(self, most_left_bytes: float = float("inf")) -> None:
        """Cut the connection once the client reads less of its answer than it must."""
        left_bytes = self.transport.get_write_buffer_size()
        if left_bytes > most_left_bytes:
            self._cut("unread-answer")
            return
        enough_bytes = left_bytes - LEAST_READ_BYTES
        self.start("reader", self.limits.upload_timeout_s, self.await_reader, enough_bytes)

    def _stop(self, name: str) -> None:
        if name in self._timers:
            self._timers.pop(name).cancel()

    def _follow(self) -> None:
        """Give what the client is to send next, headers or the rest of a body, its own time."""
        awaited = self.conn.their_state if self.is_waiting else None
        if awaited is self._awaited or self.transport.is_closing():
            return
        self._awaited, self.waiting_since_s = awaited, self.loop.time()
        self._stop("arrival")
        if awaited is h11.SEND_BODY:
            self.start("arrival", self.limits.upload_timeout_s, self._give_up, "slow-body")
        elif awaited is not None:
            self.start("arrival", self.limits.header_timeout_s, self._give_up, "slow-headers")

    def _give_up(self, reason: str) -> None:
        if not self.transport.is_closing():
            self.limits.count_refusal(reason)
            self.transport.close()

    def _cut(self, reason: str) -> None:
        self.connections.discard(self)  # at once, so that the next one need not make room again
        self.limits.count_refusal(reason)
        self.transport.abort()

    def _make_room(self) -> None:
        """Cut those that have waited longest for a request, or this one if all others work."""
        bounded = (each for each in self.connections if isinstance(each, BoundedProtocol))
        idle = [each for each in bounded if each.is_waiting]
        idle.sort(key=lambda each: each.waiting_since_s)
        for each in idle[: max(1, len(idle) // 8)]:  # several, so that sorting is done seldom
            each._cut("too-many-connections")


class LingeringTransport:
    """A connection that closes only once an early answer can have reached its client.

    Closed while the client still sends, the system would reset it, and the client could lose the
    answer. So only the sending half is closed; what still comes is dropped for a while.
    """

    def __init__(self, transport: asyncio.Transport, protocol: BoundedProtocol) -> None:
        self._transport, self._protocol = transport, protocol
        self._lingers = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Return whether nothing more can be sent."""
        return self._lingers or self._transport.is_closing()

    def close(self) -> None:
        """Close, at once unless the client is in the middle of a message that was answered."""
        if self.is_closing():
            return
        protocol = self._protocol
        protocol.await_reader()
        if not (protocol.is_waiting and protocol.conn.their_state in (h11.SEND_BODY, h11.ERROR)):
            self._transport.close()
            return
        self._lingers = True
        protocol.flow.resume_reading()
        protocol.start("linger", LINGER_S, self._transport.close)
        with suppress(OSError):  # the client is gone
            self._transport.write_eof()
