"""Around every request: an id, a clock, a count, and a limit on the body's bytes."""

import time
import uuid

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics
from service.problems import to_problem

UNKNOWN_ROUTE = "unknown"


class RequestFrame:
    """ASGI middleware; pure, so that answers are never buffered."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, max_upload_bytes: int) -> None:
        self._app = app
        self._metrics = metrics
        self._max_upload_bytes = max_upload_bytes

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
            await self._answer(request, receive, send_with_id)
        finally:
            self._metrics.in_flight.dec()
            self._count(scope, status, time.perf_counter() - began)

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        """Refuse a body that is announced too large; watch one that is not announced."""
        announced = request.headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > self._max_upload_bytes:
            problem = to_problem(
                request, 413, code="image-too-large", detail=self._too_large(int(announced))
            )
            await problem(request.scope, receive, send)
            return
        received_bytes = 0

        async def receive_within_limit() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > self._max_upload_bytes:
                raise HTTPException(413, self._too_large(received_bytes))
            return message

        await self._app(request.scope, receive_within_limit, send)

    def _too_large(self, found_bytes: int) -> str:
        return (
            f"The body has {found_bytes:,} bytes or more; at most {self._max_upload_bytes:,} are "
            "accepted."
        )

    def _count(self, scope: Scope, status: int, duration_s: float) -> None:
        route = getattr(scope.get("route"), "path", UNKNOWN_ROUTE)
        method = scope["method"] if route != UNKNOWN_ROUTE else UNKNOWN_ROUTE
        self._metrics.request_duration.labels(route, method, str(status)).observe(duration_s)
        if status in (413, 429, 503, 504):
            reasons = {413: "image-too-large", 429: "overloaded", 503: "not-ready", 504: "timeout"}
            self._metrics.rejected.labels(reasons[status]).inc()
