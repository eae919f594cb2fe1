"""Around every request: an id, a clock, a count; and an answer if what is inside fails."""

import asyncio
import logging
import time
from http import HTTPMethod

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headcirc_service.http.problems import NotReadyError, to_internal_problem, to_known_problem
from headcirc_service.telemetry.logs import name_request
from headcirc_service.telemetry.metrics import Metrics

logger = logging.getLogger("headcirc.requests")
UNKNOWN_ROUTE = "unknown"
QUIET_ROUTES = ("/livez", "/readyz", "/metrics")
ERRORS = 400
GOES_DOWN = "The service went down before the request was answered; send it again."
REJECTIONS = (401, 413, 429, 499, 503, 504)
"""Statuses of requests that were refused; the problem's code says why."""
TWO_LENGTHS = {"content-length", "transfer-encoding"}
"""Of a request that has both, others may see the end elsewhere: its answer ends the connection, so
that nothing is taken for a further request (RFC 9112, 6.1)."""
SECURITY_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",  # pictures and figures of a patient stay out of caches
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
}
"""Added to every answer that does not set them itself, as pages do, which load files."""


class RequestFrame:
    """ASGI middleware; pure, so that answers are never buffered."""

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
        request.state.name, request.state.request_id = name, name.request_id
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], *request.state.name.to_headers()]
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
            self._count(request, status, time.perf_counter() - began)

    def _count(self, request: Request, status: int, duration_s: float) -> None:
        route, method = name_route(request)
        self._metrics.request_duration.labels(route, method, str(status)).observe(duration_s)
        if status in REJECTIONS:
            code = getattr(request.state, "problem_code", "internal-error")
            self._metrics.count_refusal(code)
        log_request(request, status, duration_s)


class FailureGuard:
    """ASGI middleware: what nobody foresaw becomes a problem document, which passes what is around.

    Else it would leave without the headers that say who may read it, and what it is.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, come what may."""
        has_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except asyncio.CancelledError:  # the server ends and waits no longer
            if has_started or scope["type"] != "http":
                raise
            await to_known_problem(Request(scope), NotReadyError(GOES_DOWN))(scope, receive, send)
        except Exception as error:
            if has_started or scope["type"] != "http":
                raise
            await to_internal_problem(Request(scope), error)(scope, receive, send)


def name_route(request: Request) -> tuple[str, str]:
    """Return route and method as labels have them: neither a path nor a word of the caller's."""
    route = getattr(request.scope.get("route"), "path", UNKNOWN_ROUTE)
    is_known = route != UNKNOWN_ROUTE and request.method in HTTPMethod.__members__
    return route, request.method if is_known else UNKNOWN_ROUTE


def log_request(request: Request, status: int, duration_s: float) -> None:
    """Log one answered request; probes and scrapes, which come every few seconds, only on debug."""
    route, method = name_route(request)
    level = logging.DEBUG if route in QUIET_ROUTES and status < ERRORS else logging.INFO
    if not logger.isEnabledFor(level):
        return
    facts: dict[str, object] = {
        "request_id": request.state.name.request_id,
        "method": method,
        "route": route,
        "status": status,
        "duration_ms": round(duration_s * 1000, 3),
    }
    if request.state.name.trace_id is not None:
        facts["trace_id"] = request.state.name.trace_id
    if status >= ERRORS:
        facts["code"] = getattr(request.state, "problem_code", "internal-error")
    message = "%(method)s %(route)s %(status)s in %(duration_ms)s ms, request %(request_id)s"
    logger.log(level, message, facts, extra={"facts": facts})


def add_security_headers(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return an answer's headers with those that every answer needs."""
    given = {name.lower() for name, _ in headers}
    return headers + [each for each in SECURITY_HEADERS.items() if each[0] not in given]
