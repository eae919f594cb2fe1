"""Around every request: an id, a clock, a count."""

import time
import uuid

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics

UNKNOWN_ROUTE = "unknown"
REJECTIONS = {
    413: "image-too-large",
    429: "overloaded",
    499: "client-left",
    503: "not-ready",
    504: "timeout",
}


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
        request.state.request_id = uuid.uuid4().hex
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message["headers"])
                headers.append((b"x-request-id", request.state.request_id.encode()))
                headers.append((b"x-content-type-options", b"nosniff"))
                message = {**message, "headers": headers}
            await send(message)

        began = time.perf_counter()
        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._metrics.in_flight.dec()
            self._count(scope, status, time.perf_counter() - began)

    def _count(self, scope: Scope, status: int, duration_s: float) -> None:
        route = getattr(scope.get("route"), "path", UNKNOWN_ROUTE)
        method = scope["method"] if route != UNKNOWN_ROUTE else UNKNOWN_ROUTE
        self._metrics.request_duration.labels(route, method, str(status)).observe(duration_s)
        if status in REJECTIONS:
            self._metrics.rejected.labels(REJECTIONS[status]).inc()
