"""The outermost middleware: ids, durations, counts, security headers, and unexpected errors."""

import asyncio
import logging
import time

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headcirc_service.errors import NotReadyError
from headcirc_service.http.problems import INTERNAL_CODE, to_internal_problem, to_known_problem
from headcirc_service.telemetry.metrics import Metrics
from headcirc_service.telemetry.request_context import (
    RequestContext,
    begin_context,
    name_request,
)
from headcirc_service.telemetry.route_names import QUIET_ROUTES, name_route

logger = logging.getLogger("headcirc.requests")
ERRORS = 400
SHUT_DOWN = "The service shut down before the request was answered; send it again."
REJECTIONS = (401, 413, 429, 499, 503, 504)
"""Statuses that count as refusals, by the code of the problem."""
TWO_LENGTHS = {"content-length", "transfer-encoding"}
"""With both, another server may see another end of the body. The answer ends the connection, so
that nothing is taken for a further request (RFC 9112, 6.1)."""
FRAMED_BY_NONE = b"frame-ancestors 'none'"
SECURITY_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",  # caches must not keep the data of a patient
    b"content-security-policy": b"default-src 'none'; " + FRAMED_BY_NONE,
}
"""Added to every answer that does not set them; the web page sets its own."""


class RequestFrame:
    """ASGI middleware that begins the context of a request, and counts and logs it at the end."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        name = name_request(request.headers.get("x-request-id"), request.headers.get("traceparent"))
        context = begin_context(scope, name)
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], *context.name.to_headers()]
                if {*request.headers} >= TWO_LENGTHS:
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": add_security_headers(headers)}
            await send(message)

        began = time.perf_counter()
        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._metrics.in_flight.dec()
            self._count(request, context, status, time.perf_counter() - began)

    def _count(
        self, request: Request, context: RequestContext, status: int, duration_s: float
    ) -> None:
        route, method = name_route(request)
        self._metrics.request_duration.labels(route, method, str(status)).observe(duration_s)
        if status in REJECTIONS:
            self._metrics.count_refusal(context.problem_code or INTERNAL_CODE)
        log_request(request, context, status, duration_s)


class FailureGuard:
    """ASGI middleware that answers unexpected errors with a problem document.

    It is inside the CORS middleware and `RequestFrame`, so that this answer gets their headers too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, even if the layers inside fail."""
        has_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except asyncio.CancelledError:  # the server shuts down and no longer waits
            if has_started or scope["type"] != "http":
                raise
            await to_known_problem(Request(scope), NotReadyError(SHUT_DOWN))(scope, receive, send)
        except Exception as error:
            if has_started or scope["type"] != "http":
                raise
            await to_internal_problem(Request(scope), error)(scope, receive, send)


def log_request(request: Request, context: RequestContext, status: int, duration_s: float) -> None:
    """Log one answered request; probes and scrapes only on debug."""
    route, method = name_route(request)
    level = logging.DEBUG if route in QUIET_ROUTES and status < ERRORS else logging.INFO
    if not logger.isEnabledFor(level):
        return
    facts: dict[str, object] = {
        "request_id": context.name.request_id,
        "method": method,
        "route": route,
        "status": status,
        "duration_ms": round(duration_s * 1000, 3),
    }
    if context.name.trace_id is not None:
        facts["trace_id"] = context.name.trace_id
    if status >= ERRORS:
        facts["code"] = context.problem_code or INTERNAL_CODE
    message = "%(method)s %(route)s %(status)s in %(duration_ms)s ms, request %(request_id)s"
    logger.log(level, message, facts, extra={"facts": facts})


def add_security_headers(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer with the security headers that it lacks.

    An answer whose own policy names who may frame it gets no `X-Frame-Options`, which knows no
    names and would contradict it.
    """
    given = {name.lower(): value for name, value in headers}
    policy = given.get(b"content-security-policy", FRAMED_BY_NONE)
    left_out = {*given} if FRAMED_BY_NONE in policy else {*given, b"x-frame-options"}
    return headers + [each for each in SECURITY_HEADERS.items() if each[0] not in left_out]
