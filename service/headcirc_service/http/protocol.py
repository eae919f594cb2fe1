"""The HTTP of one connection: uvicorn's own, and bounds on what a connection may cost.

A request's headers must arrive in time; else a client that sends a byte now and then holds its
connection, and so a file descriptor, for ever. They must be short, for they are kept until they
end. A connection that was refused for want of room is left unread for a while; else those that ask
again at once, whatever they were told, keep the event loop so busy that probes wait. And an answer
that came before its request's body was read can reach a client that sends before it reads: what
still comes is read and forgotten, for a while. An answer must be read, too; else a client that
asks for a large picture and reads nothing keeps it in memory for ever. Bodies that are waited for
have their own limits, in `headcirc_service.admission.gate`. This file answers nothing but headers that are too large.
"""

import asyncio
import json
import logging
import math
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from headcirc_service.http.connection_rules import STATE_NAME, ConnectionRules
from headcirc_service.http.middleware import add_security_headers
from headcirc_service.http.plain_http import PlainHttpProtocol
from headcirc_service.http.problems import MEDIA_TYPE, OverloadedError, to_problem_body
from headcirc_service.telemetry.logs import name_request

logger = logging.getLogger("headcirc.service")
LINGER_S = 2.0
"""A connection that closes after an early answer is read for this long, then reset."""
MOST_HEADER_BYTES = 65_536
LEAST_READ_BYTES = 1_000_000
"""A client must read this much of an answer, or the rest, in each `upload_timeout_s`."""
MOST_AHEAD = 32
"""Requests of one connection that wait for the one before them; each takes some 2 KB."""
HEADERS_TOO_LARGE, HEADERS_TOO_LARGE_CODE = 431, "headers-too-large"


class BoundedHeadersProtocol(PlainHttpProtocol):
    """See the module.

    The time for headers runs from the connection's start, or from the first byte that comes after
    an answer and its request's body, to the end of the headers. What is left of a body after its
    answer may take as long as a body may. Silence between requests is uvicorn's to bound.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._rules: ConnectionRules = self.app_state.get(STATE_NAME) or ConnectionRules()
        self._arrival_timer: asyncio.TimerHandle | None = None
        self._last_timer: asyncio.TimerHandle | None = None
        """Ends a rest, or the connection that lingers."""
        self._reading_timer: asyncio.TimerHandle | None = None
        self._lingers = False
        self._header_bytes: int | None = None
        """What came since a request began, or its body went on, but the first part; None between
        requests. After the last part of a body come trailers, which are kept like headers."""
        self._goes_on = False
        self._body_arrives = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_arrival()

    def data_received(self, data: bytes) -> None:
        """Read; what belongs to no request that is being answered begins the next one."""
        if self._lingers:
            return
        self._goes_on = False
        super().data_received(data)
        if self._header_bytes is not None and not self._goes_on:
            self._header_bytes += len(data)
            if self._header_bytes > MOST_HEADER_BYTES and not self.transport.is_closing():
                self._refuse_headers()
                return
        if self._has_answered():
            self._await_arrival()

    def on_message_begin(self) -> None:
        """Count what comes from now on."""
        if len(self.pipeline) >= MOST_AHEAD:
            raise ConnectionAbortedError  # ends the parser, and so the connection
        self._begin_count()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Let the request begin."""
        self._begin_count()
        self._body_arrives = True
        self._stop_waiting()
        super().on_headers_complete()
        if self.cycle is not None:
            self.cycle.transport = GentleTransport(self)

    def on_body(self, body: bytes) -> None:
        """Count anew: what is part of a body has its own limits."""
        self._begin_count()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Let the body end, also one that nobody reads."""
        self._header_bytes = None
        self._body_arrives = False
        self._stop_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on to the next request, at once or after a rest."""
        answered = self.cycle
        super().on_response_complete()
        # Of requests that were sent ahead, `answered` is the last one, and may yet be unanswered.
        if self._lingers or self.transport.is_closing() or not answered.response_complete:
            return
        if answered.scope["state"].get("problem_code") == OverloadedError.code:
            self.flow.pause_reading()
            self._last_timer = self.loop.call_later(self._rules.rests.take_s(), self._end_rest)

    def close_gently(self) -> None:
        """Close once the client has had time to say what it says before it reads."""
        if self.transport.is_closing() or not self.cycle.more_body:
            self.transport.close()
        else:
            self._linger()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        for timer in (self._last_timer, self._reading_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to wait for the client to read: more is written than the connection takes."""
        super().pause_writing()
        self._await_reader(math.inf)

    def resume_writing(self) -> None:
        """Wait no longer: nearly all was read."""
        if self._reading_timer is not None:
            self._reading_timer.cancel()
        super().resume_writing()

    def _await_reader(self, most_left_bytes: float) -> None:
        left_bytes = self.transport.get_write_buffer_size()
        if left_bytes > most_left_bytes:
            logger.info("a connection was cut: its answer was not read in time")
            self.transport.abort()
            return
        self._reading_timer = self.loop.call_later(
            self._rules.upload_timeout_s, self._await_reader, left_bytes - LEAST_READ_BYTES
        )

    def _begin_count(self) -> None:
        self._header_bytes, self._goes_on = 0, True

    def _end_rest(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _has_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _linger(self) -> None:
        self._lingers = True
        self._stop_waiting()
        if self.transport.can_write_eof():  # not over TLS
            self.transport.write_eof()
        self._last_timer = self.loop.call_later(LINGER_S, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in uvicorn's words, unless others' answers are to come first."""
        self._rules.count_refusal("malformed-request")
        if self.pipeline:
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _refuse_headers(self) -> None:
        self._rules.count_refusal(HEADERS_TOO_LARGE_CODE)
        logger.info("a connection was closed: its request's headers are too large")
        # Trailers are too late to be told, and an earlier request's answer may be on its way.
        if self._body_arrives or not self._has_answered():
            self.transport.close()
            return
        self.transport.write(to_headers_refusal())
        self._linger()

    def _await_arrival(self) -> None:
        if self._arrival_timer is None and not self.transport.is_closing():
            rules = self._rules
            wait_s = rules.upload_timeout_s if self._body_arrives else rules.header_timeout_s
            self._arrival_timer = self.loop.call_later(wait_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._arrival_timer is not None:
            self._arrival_timer.cancel()
            self._arrival_timer = None

    def _give_up(self) -> None:
        self._arrival_timer = None
        if not self.transport.is_closing():
            what = "a refused request's body" if self._body_arrives else "a request's headers"
            logger.info("a connection was closed: %s did not arrive in time", what)
            self.transport.close()


def to_headers_refusal() -> bytes:
    """Return the answer to headers that are too large; it goes out without the application."""
    name = name_request(None, None)
    body = json.dumps(
        to_problem_body(
            HEADERS_TOO_LARGE,
            code=HEADERS_TOO_LARGE_CODE,
            detail=f"The headers, or the path, have more than {MOST_HEADER_BYTES:,} bytes.",
            request_id=name.request_id,
        )
    ).encode()
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *name.to_headers(),
    ]
    lines = [key + b": " + value + b"\r\n" for key, value in add_security_headers(headers)]
    return b"".join([STATUS_LINE[HEADERS_TOO_LARGE], *lines, b"\r\n", body])


class GentleTransport(asyncio.Transport):
    """What an answer is written to: its connection, which closes gently."""

    def __init__(self, protocol: BoundedHeadersProtocol) -> None:
        super().__init__()
        self._protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send a part of the answer."""
        self._protocol.transport.write(data)

    def is_closing(self) -> bool:
        """Return whether nothing more can be sent."""
        return self._protocol.transport.is_closing()

    def close(self) -> None:
        """See `BoundedHeadersProtocol.close_gently`."""
        self._protocol.close_gently()
