"""The HTTP of one connection: uvicorn's own, and a time in which a request's headers must arrive.

Without it a client that sends a byte now and then holds its connection, and so a file descriptor,
for ever. Bodies have their own limit, in `service.gate`. This file answers nothing.
"""

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

logger = logging.getLogger("headcirc.service")
STATE_NAME = "header_timeout_s"
"""Under which the application's lifespan tells the time."""
DEFAULT_TIMEOUT_S = 10.0


class BoundedHeadersProtocol(HttpToolsProtocol):
    """Closes a connection whose next request does not begin in time.

    The time runs from the connection's start, or from the first byte that comes after an answer,
    to the end of the headers. Silence between requests is uvicorn's to bound.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        """Read; what belongs to no request that is being answered begins the next one."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._await_headers()

    def on_headers_complete(self) -> None:
        """Let the request begin."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_headers(self) -> None:
        if self._header_timer is None and not self.transport.is_closing():
            timeout_s = self.app_state.get(STATE_NAME, DEFAULT_TIMEOUT_S)
            self._header_timer = self.loop.call_later(timeout_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _give_up(self) -> None:
        self._header_timer = None
        if not self.transport.is_closing():
            logger.info("a connection was closed: its request's headers did not arrive in time")
            self.transport.close()
