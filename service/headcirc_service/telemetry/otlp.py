"""Spans for OpenTelemetry: one a request, and one a stage inside it, sent to a collector by OTLP.

Only what `HEADCIRC_OTLP_ENDPOINT` names is told, and only routes, statuses, times and request ids.
Whether a trace is sampled is its caller's to say; the SDK's own `OTEL_*` variables hold as ever.
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
        Of a collector; while it is away, spans are dropped.
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
    """ASGI middleware within `RequestFrame`: a span around each request but probes and scrapes."""

    def __init__(self, app: ASGIApp, *, tracer: trace.Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request within a span, in its caller's trace if it is in one."""
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
            _take_over_name(request, span)
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


def _take_over_name(request: Request, span: trace.Span) -> None:
    """Tell the caller, and the log, this span in place of one that nobody records."""
    facts = span.get_span_context()
    trace_id = trace.format_trace_id(facts.trace_id)
    told = f"00-{trace_id}-{trace.format_span_id(facts.span_id)}-{facts.trace_flags:02x}"
    context = find_context(request.scope)
    context.name = replace(context.name, trace_id=trace_id, traceparent=told)


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
