"""Middleware of Serve's HTTP proxy: refusals of Serve become problem documents of the service.

Ray finds `to_middlewares` through RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH.
"""

import logging

from headcirc_service.errors import NotReadyError, OverloadedError, ServiceError, TunnelRefusedError
from headcirc_service.http.middleware import add_security_headers
from headcirc_service.http.problems import MEDIA_TYPE, NO_TUNNEL, to_known_problem
from headcirc_service.telemetry.request_context import begin_context, name_request
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("ray.serve")
CALLBACK = "deploy.ray.proxy:to_middlewares"
OWN_PATHS = "/-/"
"""Serve's own routes; the service has no route there."""
ID_HEADER = b"x-request-id"
TOO_MANY, PASSING = 429, (408, 500, 503)
"""Serve's own refusals: its queue is full; the time is up, or no replica is there."""
TOO_MANY_WAIT = "Too many requests wait for a replica; send the request again in a second."
NO_REPLICA = "No replica answered this request; send it again."


class ServiceAnswers:
    """ASGI middleware that passes answers on; it buffers nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked_id = Request(scope).headers.get("x-request-id")
        if scope["method"] == "CONNECT":  # Serve's server would go on reading after it
            await send_problem(TunnelRefusedError(NO_TUNNEL), asked_id, scope, send)
            return
        if scope["path"].startswith(OWN_PATHS):
            await self._app(scope, receive, send)
            return
        has_started = is_replaced = False

        async def send_as_service(message: Message) -> None:
            nonlocal has_started, is_replaced
            if message["type"] == "http.response.start":
                has_started = True
                problem = find_own_problem(message)
                if problem is not None:
                    is_replaced = True
                    await send_problem(problem, asked_id, scope, send)
                    return
                message = {**message, "headers": drop_second_id(message["headers"])}
            if not is_replaced:
                await send(message)

        try:
            await self._app(scope, receive, send_as_service)
        except Exception:  # Serve's server would answer 500 in plain text
            if has_started:
                raise
            logger.exception("the proxy failed before it answered")
        if not has_started:
            await send_problem(NotReadyError(NO_REPLICA), asked_id, scope, send)


def find_own_problem(start: Message) -> ServiceError | None:
    """Return our error for a refusal of Serve, or None for an answer of the service."""
    headers = dict(start["headers"])
    if headers.get(b"content-type", b"").startswith(MEDIA_TYPE.encode()):
        return None
    if start["status"] == TOO_MANY:
        return OverloadedError(TOO_MANY_WAIT)
    return NotReadyError(NO_REPLICA) if start["status"] in PASSING else None


async def send_problem(
    problem: ServiceError, asked_id: str | None, scope: Scope, send: Send
) -> None:
    """Send a problem document with the headers that every answer of the service has."""
    request = Request(scope)
    name = name_request(asked_id, None)
    begin_context(scope, name)
    answer = to_known_problem(request, problem)

    async def send_framed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = add_security_headers([*message["headers"], *name.to_headers()])
            message = {**message, "headers": headers}
        await send(message)

    await answer(scope, Request(scope).receive, send_framed)


def drop_second_id(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return headers with one request id, the first: Serve adds its own after the service's."""
    ids = [each for each in headers if each[0].lower() == ID_HEADER]
    return [each for each in headers if each[0].lower() != ID_HEADER] + ids[:1]


def to_middlewares() -> list[Middleware]:
    """Return the middleware for Serve's proxy."""
    return [Middleware(ServiceAnswers)]
