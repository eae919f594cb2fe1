"""Checks of a request's headers before it is let in.

A refusal here needs neither the body nor a thread. If the service is overloaded, it is sent with a
delay, in which nothing more is read from the connection.
"""

import asyncio
from collections.abc import Sequence

from starlette.requests import Request
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from headcirc.errors import HeadCircumferenceError, ImageTooLargeError
from headcirc_service.admission.arrivals import BodyLimits, name_client, say_too_large
from headcirc_service.admission.keys import KeyRing
from headcirc_service.admission.pace import Pace
from headcirc_service.errors import OverloadedError, TunnelRefusedError
from headcirc_service.http.holding import hold_reading
from headcirc_service.http.hosts import HostRules
from headcirc_service.http.problems import NO_TUNNEL, to_known_problem
from headcirc_service.measuring.measurer import Measurer
from headcirc_service.settings import Settings
from headcirc_service.telemetry.request_context import find_context

FORM_TYPE = "multipart/form-data"
READING = ("POST", "PUT")
"""Methods whose routes read a body; a PUT takes no place of the measurements' queue."""


class Gate:
    """ASGI middleware that lets requests in or refuses them; it buffers nothing.

    Parameters
    ----------
    app : ASGIApp
    settings : Settings
    measurer : Measurer
        It has the queue, and counts the bodies that arrive.
    routes : sequence of BaseRoute
        The routes behind the gate, so that a refusal is counted for the requested route.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        measurer: Measurer,
        routes: Sequence[BaseRoute],
    ) -> None:
        self._app = app
        self._workers, self._arrivals = measurer.workers, measurer.arrivals
        self._routes = routes
        self._hosts = HostRules(settings)
        self._pace = Pace()
        self._keys = KeyRing(settings.api_key_hashes)
        self._keeps_keys_apart = settings.result_scope == "key"
        self._limits = BodyLimits(
            settings.max_upload_bytes,
            settings.upload_timeout_ms / 1000,
            settings.upload_least_bytes_per_s,
            settings.max_dicom_bytes,
            settings.dicom_upload_timeout_ms / 1000,
        )

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
            if isinstance(refusal, OverloadedError):
                hold_reading(scope)
                await asyncio.sleep(self._pace.take_s())
            await to_known_problem(request, refusal)(scope, receive, send)
            return
        if request.method not in READING:
            await self._app(scope, receive, send)  # other routes read no body
            return
        body = self._arrivals.begin(
            receive,
            self._limits,
            name_client(scope.get("client")),
            announced_bytes=to_announced_bytes(request),
        )
        find_context(scope).body = body
        try:
            await self._app(scope, body.receive, send)
        finally:
            body.end()

    def _check_headers(self, request: Request) -> None:
        """Refuse a request that its headers already rule out.

        Raises
        ------
        TunnelRefusedError, InvalidHostError, UnauthorizedError, OverloadedError,
        ImageTooLargeError
        """
        if request.method == "CONNECT":
            raise TunnelRefusedError(NO_TUNNEL)
        self._hosts.require_allowed(request)
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        key_sha256 = self._keys.require_key(path, request.headers.get("authorization"))
        if self._keeps_keys_apart:
            find_context(request.scope).result_scope = key_sha256 or ""
        is_form = request.headers.get("content-type", "").lower().startswith(FORM_TYPE)
        # Only a form can hold DICOM, whose limit is larger; the form's parser tells which holds.
        max_bytes = self._limits.most_bytes if is_form else self._limits.max_bytes
        announced_bytes = to_announced_bytes(request)
        if announced_bytes > max_bytes:
            raise ImageTooLargeError(say_too_large(announced_bytes, max_bytes))
        if request.method in READING and path.startswith("/v1/"):
            if request.method == "POST":
                self._workers.require_capacity(coming=self._arrivals.count_fresh())
            self._arrivals.require_capacity(name_client(request.scope.get("client")))


def to_announced_bytes(request: Request) -> int:
    """Return the length of the body by its headers; 0 where they do not state it."""
    announced = request.headers.get("content-length", "0")
    return int(announced) if announced.isdigit() else 0
