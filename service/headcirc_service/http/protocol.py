"""uvicorn's h11 protocol, with limits for each connection and for all of them together.

h11 parses HTTP. This module adds what uvicorn does not have: a limit on the number of connections,
time limits for headers, refused bodies and unread answers, and a close that lets an early answer
reach a client that is still sending. `headcirc_service.http.gate` limits the bodies that the
application reads.
"""

import asyncio
import logging
import resource
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import h11
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from headcirc_service.http.holding import offer_hold
from headcirc_service.settings import Settings
from headcirc_service.telemetry.metrics import Metrics

STATE_NAME = "connection_limits"
"""Key of the `ConnectionLimits` in the lifespan state of the application."""
LINGER_S = 2.0
"""How long bytes are read and dropped that the client sends after an early answer."""
LEAST_READ_BYTES = 1_000_000
"""Bytes of an answer that a client must read in each `upload_timeout_s`, unless fewer are left."""
MOST_CONNECTIONS = 4_096
"""An idle connection takes about 20 KB."""
UNSUPPORTED = ("Unsupported upgrade request", "No supported WebSocket library")
# Java's HTTP client requests HTTP/2 on each connection, which needs no warning.
logging.getLogger("uvicorn.error").addFilter(lambda each: not str(each.msg).startswith(UNSUPPORTED))


def choose_most_connections() -> int:
    """Return half of the files that the process may open, at most `MOST_CONNECTIONS`.

    The other half is for files, and for connections that asyncio has accepted but not passed on.
    At the limit asyncio would log an error for each waiting connection, many times a second.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if soft < 0 else min(soft // 2, MOST_CONNECTIONS)


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of the connections of one application."""

    header_timeout_s: float = 10.0
    upload_timeout_s: float = 30.0
    most_connections: int = field(default_factory=choose_most_connections)
    count_refusal: Callable[[str], None] = lambda code: None
    """Called with the reason when a connection is cut; the application does not see it."""


def to_connection_limits(settings: Settings, metrics: Metrics) -> ConnectionLimits:
    """Return the limits in the settings; connections that are cut are counted."""
    return ConnectionLimits(
        settings.header_timeout_ms / 1000,
        settings.upload_timeout_ms / 1000,
        count_refusal=metrics.count_refusal,
    )


class BoundedProtocol(H11Protocol):
    """An HTTP connection with limits; see the module. Each callback calls uvicorn's."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.limits: ConnectionLimits = self.app_state.get(STATE_NAME) or ConnectionLimits()
        self.waiting_since_s = 0.0
        self._awaited: object = None  # the client's h11 state; None while it is answered
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @property
    def is_waiting(self) -> bool:
        """Return whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request, and cut others if there are too many."""
        super().connection_made(LingeringTransport(transport, self))  # type: ignore[arg-type]
        self._follow()
        if len(self.connections) > self.limits.most_connections:
            self._cut_waiting()

    def data_received(self, data: bytes) -> None:
        """Read, unless the connection only waits for its client to close."""
        if self.transport.is_closing():
            return
        try:
            super().data_received(data)
        except h11.LocalProtocolError:  # not HTTP, and too late to answer 400
            self.transport.abort()
        self._follow()

    def handle_events(self) -> None:
        """Answer what arrived; the application may hold the reading of the connection."""
        super().handle_events()
        if self.cycle is not None:
            offer_hold(cast(Scope, self.cycle.scope), self.flow.pause_reading)

    def pause_writing(self) -> None:
        """Begin to wait for the client to read its answer."""
        super().pause_writing()
        self.await_reader()

    def resume_writing(self) -> None:
        """Stop the timer, as nearly all was read, unless the connection closes after the rest."""
        if not self.transport.is_closing():
            self._stop("reader")
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        for name in [*self._timers]:
            self._stop(name)
        super().connection_lost(exc)

    def start(
        self, name: str, wait_s: float, then: Callable[..., None], *arguments: object
    ) -> None:
        """Start a timer, which replaces the timer of the same name."""
        self._stop(name)
        self._timers[name] = self.loop.call_later(wait_s, then, *arguments)

    def await_reader(self, most_left_bytes: float = float("inf")) -> None:
        """Cut the connection if the client reads its answer too slowly."""
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
        """Start the time limit of what the client sends next: headers or the rest of a body."""
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
        self.connections.discard(self)  # now, so that the next connection cuts no others
        self.limits.count_refusal(reason)
        self.transport.abort()

    def _cut_waiting(self) -> None:
        """Cut the connections that have waited longest for a request, or this one if none waits."""
        bounded = (each for each in self.connections if isinstance(each, BoundedProtocol))
        idle = [each for each in bounded if each.is_waiting]
        idle.sort(key=lambda each: each.waiting_since_s)
        for each in idle[: max(1, len(idle) // 8)]:  # several, so that they are seldom sorted
            each._cut("too-many-connections")


class LingeringTransport:
    """A transport that closes only when an early answer can have reached its client.

    If it closed while the client sends, the system would reset the connection and the client could
    lose the answer. So it closes only the sending half, and drops what arrives for a while.
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
        """Close, with a delay if the client is still sending a request that was answered."""
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
