"""Decide from the headers whether a request is let in, and limit its body while it arrives.

A refusal here costs neither a body nor a thread. This module reads no picture.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headcirc.errors import HeadCircumferenceError, ImageTooLargeError
from headcirc_service.admission.keys import KeyRing
from headcirc_service.admission.workers import Workers
from headcirc_service.http.problems import OverloadedError, to_known_problem
from headcirc_service.settings import Settings

BODIES_PER_PLACE = 4
"""Bodies may arrive for this many times the queue's places: uploads are slow, places soon free."""
FRESH_S = 0.1
"""A body that began less than this ago takes a place already. Without this rule, many requests
would be let in for one free place, only to be refused after they were read and parsed."""


class Gate:
    """ASGI middleware; pure, so that nothing is buffered.

    Parameters
    ----------
    app : ASGIApp
    settings : Settings
    workers : Workers
        The queue that requests are let in to.
    routes : sequence of BaseRoute
        Those behind it, so that a refusal is counted by the route that would have answered.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        workers: Workers,
        routes: Sequence[BaseRoute],
    ) -> None:
        self._app = app
        self._workers = workers
        self._routes = routes
        self._keys = KeyRing(settings.api_key_hashes)
        self._max_upload_bytes = settings.max_upload_bytes
        self._upload_timeout_s = settings.upload_timeout_ms / 1000
        self._most_bodies = BODIES_PER_PLACE * workers.capacity
        self._arriving: set[Body] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            self._check_headers(request)
        except HeadCircumferenceError as refusal:
            matches = (each.matches(scope) for each in self._routes)
            scope.update(next((found for match, found in matches if match is Match.FULL), {}))
            await to_known_problem(request, refusal)(scope, receive, send)
            return
        if request.method != "POST":
            await self._app(scope, receive, send)  # no route but POST's reads a body
            return
        body = Body(receive, self._max_upload_bytes, self._upload_timeout_s, self._arriving.discard)
        self._arriving.add(body)
        try:
            await self._app(scope, body.receive, send)
        finally:
            body.end()

    def _check_headers(self, request: Request) -> None:
        """Refuse what needs no body to be refused.

        Raises
        ------
        UnauthorizedError, OverloadedError, ImageTooLargeError
        """
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        self._keys.require_key(path, request.headers.get("authorization"))
        announced = request.headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > self._max_upload_bytes:
            raise ImageTooLargeError(say_too_large(int(announced), self._max_upload_bytes))
        if request.method == "POST" and path.startswith("/v1/"):
            now_s = time.monotonic()
            fresh = sum(now_s - each.began_s < FRESH_S for each in self._arriving)
            self._workers.require_capacity(coming=fresh)
            if len(self._arriving) >= self._most_bodies:
                raise OverloadedError(
                    f"{len(self._arriving)} requests are being received, which is the most that "
                    "this service takes; send the request again in a second."
                )


class Body:
    """A body on its way in: bounded in bytes and in time, until it is there.

    What goes wrong is an `HTTPException`, the only error that FastAPI lets out of its form reader.
    """

    def __init__(
        self, receive: Receive, max_bytes: int, timeout_s: float, on_end: Callable[["Body"], None]
    ) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self.began_s = time.monotonic()
        self._on_end = on_end
        self._received_bytes = 0
        self._has_ended = False

    async def receive(self) -> Message:
        """Return the next part; after the last one, wait as long as it takes."""
        if self._has_ended:
            return await self._receive()
        try:
            async with asyncio.timeout(self.began_s + self._timeout_s - time.monotonic()):
                message = await self._receive()
        except TimeoutError as error:
            raise HTTPException(
                504,
                f"{self._received_bytes:,} bytes of the body arrived within {self._timeout_s:g} s; "
                "send it whole in that time.",
            ) from error
        self._received_bytes += len(message.get("body", b""))
        if self._received_bytes > self._max_bytes:
            raise HTTPException(413, say_too_large(self._received_bytes, self._max_bytes))
        if not message.get("more_body", False):
            self.end()
        return message

    def end(self) -> None:
        """Give its place back, once."""
        if not self._has_ended:
            self._has_ended = True
            self._on_end(self)


def say_too_large(found_bytes: int, max_bytes: int) -> str:
    """Say what was found and what is needed."""
    return f"The body has {found_bytes:,} bytes or more; at most {max_bytes:,} are accepted."
