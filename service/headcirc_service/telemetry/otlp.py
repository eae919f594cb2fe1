"""OpenTelemetry spans, sent to a collector by OTLP: one per request, and one per stage inside it.

Spans are sent only to the collector that `HEADCIRC_OTLP_ENDPOINT` names. They hold routes,
statuses, times and request ids. The caller's `traceparent` decides whether a trace is sampled, and
the SDK's own `OTEL_*` variables apply.

`TracedRequests` is used in place of `opentelemetry-instrumentation-asgi`. That was tried in version
0.66b2, and none of the following can be turned off:

- It records the path, the query, the user agent, the `Host` header and the client's address.
  Callers may put a patient's name into any of them.
- It records the message of an exception that leaves the application.
- It fails before it calls the application if the query is not UTF-8, or if `User-Agent` or `Host`
  holds the bytes FF 5C 78. The request is then answered with 500.
- It names the span after the path, before the route is known.
- It takes 0.9 ms per request where this class takes 0.3 ms (spans kept in memory, two busy cores).

`tests/service/telemetry/test_tracing.py` tests each of these but the time.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import headcirc
from headcirc_service.telemetry.request_context import find_context
from headcirc_service.telemetry.route_names import QUIET_ROUTES, UNKNOWN_ROUTE, name_route
from headcirc_service.telemetry.spans import Stage

TRACES_PATH = "/v1/traces"
NS_PER_S = 1_000_000_000
FAULT = 500


class OtlpTracing:
    """See `headcirc_service.telemetry.spans.Tracing`.

    Parameters
    ----------
    endpoint : str
        Address of a collector; spans are dropped while it cannot be reached.
    """

    def __init__(self, endpoint: str) -> None:
        facts = {"service.name": "headcirc", "service.version": headcirc.__version__}
        self._provider = TracerProvider(resource=Resource.create(facts))
        exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + TRACES_PATH)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("headcirc", headcirc.__version__)

    def install(self, app: FastAPI) -> None:
        """See `headcirc_service.telemetry.spans.Tracing`."""
        app.add_middleware(TracedRequests, tracer=self._tracer)

    def record_stages(self, stages: Sequence[Stage]) -> None:
        """See `headcirc_service.telemetry.spans.Tracing`."""
        to_wall_ns = time.time_ns() - time.perf_counter_ns()
        for stage in stages:
            began_ns = round(stage.began_s * NS_PER_S) + to_wall_ns
            span = self._tracer.start_span(stage.name, start_time=began_ns)
            span.end(began_ns + round(stage.duration_s * NS_PER_S))

    def close(self) -> None:
        """See `headcirc_service.telemetry.spans.Tracing`."""
        self._provider.shutdown()


class TracedRequests:
    """ASGI middleware inside `RequestFrame`: a span for each request, except probes and scrapes."""

    def __init__(self, app: ASGIApp, *, tracer: trace.Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request within a span, which belongs to the caller's trace if there is one."""
        if scope["type"] != "http" or scope["path"] in QUIET_ROUTES:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        parent = TraceContextTextMapPropagator().extract(request.headers)
        with self._tracer.start_as_current_span(
            UNKNOWN_ROUTE,
            context=parent,
            kind=trace.SpanKind.SERVER,
            record_exception=False,  # its message may quote a request
            set_status_on_exception=False,
        ) as span:
            _use_span_as_name(request, span)
            status = FAULT

            async def send_and_note(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await self._app(scope, receive, send_and_note)
            finally:
                _describe(span, request, status)


def _use_span_as_name(request: Request, span: trace.Span) -> None:
    """Name this span in the response and in the log, in place of one that is not recorded."""
    facts = span.get_span_context()
    trace_id = trace.format_trace_id(facts.trace_id)
    traceparent = f"00-{trace_id}-{trace.format_span_id(facts.span_id)}-{facts.trace_flags:02x}"
    context = find_context(request.scope)
    context.name = replace(context.name, trace_id=trace_id, traceparent=traceparent)


def _describe(span: trace.Span, request: Request, status: int) -> None:
    route, method = name_route(request)
    span.update_name(f"{method} {route}")
    span.set_attributes(
        {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
            "headcirc.request_id": find_context(request.scope).name.request_id,
        }
    )
    if status >= FAULT:
        span.set_status(trace.StatusCode.ERROR)
