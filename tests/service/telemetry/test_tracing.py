import asyncio
import itertools
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fastapi.testclient import TestClient
from headcirc_service.app import create_app
from headcirc_service.settings import Settings, load_settings, to_public_settings

from tests.service.http.test_problems import CONTENT, post
from tests.service.telemetry.test_observability import SPAN, TRACE
from tests.support.raw_http import never

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry is missing: the extra [otel]")
STAGES = ["queue", "decode", "preprocess", "queue", "inference", "postprocess"]


class Collector(ThreadingHTTPServer):
    """What OTLP is sent to: keeps every span."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.spans, self.paths = [], set()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Receiver(BaseHTTPRequestHandler):
    """Reads what the exporter writes: protobuf, perhaps compressed."""

    def do_POST(self) -> None:
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

        content = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            import gzip

            content = gzip.decompress(content)
        sent = trace_service_pb2.ExportTraceServiceRequest.FromString(content)
        self.server.paths.add(self.path)
        for resource in sent.resource_spans:
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector():
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def serve(pipeline, endpoint: str, ask) -> object:
    """Ask a traced service; what it did is told once it has ended."""
    app = create_app(Settings(otlp_endpoint=endpoint), pipeline)
    with TestClient(app, raise_server_exceptions=False) as client:
        return ask(client)


def to_attributes(span) -> dict[str, object]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def test_request_and_its_stages_are_one_trace(pipeline, collector):
    """A span for the request, in its caller's trace; below it the stages, in order, inside it."""
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "x-request-id": "ward-7"}
    files = {"image": ("doe-jane.png", CONTENT)}
    answer = serve(
        pipeline, collector.url, lambda c: c.post("/v1/analyses", files=files, headers=headers)
    )
    (whole,) = [span for span in collector.spans if span.parent_span_id == bytes.fromhex(SPAN)]
    assert collector.paths == {"/v1/traces"}
    assert whole.name == "POST /v1/analyses"
    assert answer.headers["traceparent"] == f"00-{TRACE}-{whole.span_id.hex()}-01"
    assert to_attributes(whole) == {
        "http.request.method": "POST",
        "http.route": "/v1/analyses",
        "http.response.status_code": 201,
        "headcirc.request_id": "ward-7",
    }
    stages = [span for span in collector.spans if span.parent_span_id == whole.span_id]
    assert [span.name for span in stages] == STAGES
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    told_ms = answer.json()["timing_ms"]
    for span in stages:
        assert whole.start_time_unix_nano <= span.start_time_unix_nano
        assert span.end_time_unix_nano <= whole.end_time_unix_nano
    for before, after in itertools.pairwise(stages):
        assert before.end_time_unix_nano <= after.start_time_unix_nano + 1_000  # rounding
    for name in ("decode", "inference"):
        (span,) = [each for each in stages if each.name == name]
        span_ms = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
        assert span_ms == pytest.approx(told_ms[name], abs=0.01)
    assert not re.search(b"doe", b"".join(each.SerializeToString() for each in collector.spans))


def test_drawing_is_a_stage_and_a_new_trace_is_begun(pipeline, collector):
    """Without a caller's trace each request begins one, and tells it."""

    def ask(client):
        mask = post(client, CONTENT).json()["links"]["mask"]
        return client.get(mask)

    answer = serve(pipeline, collector.url, ask)
    (drawn,) = [span for span in collector.spans if span.name == "render"]
    _, trace_id, span_id, _ = answer.headers["traceparent"].split("-")
    assert (drawn.trace_id.hex(), drawn.parent_span_id.hex()) == (trace_id, span_id)
    assert len({span.trace_id for span in collector.spans}) == 2


def test_probes_and_unsampled_requests_are_left_out(pipeline, collector):
    """Nor does the path of an unknown route become a span's name."""

    def ask(client):
        client.get("/livez")
        client.get("/metrics")
        client.get("/v1/models", headers={"traceparent": f"00-{TRACE}-{SPAN}-00"})
        client.get("/v1/DOE^JANE")

    serve(pipeline, collector.url, ask)
    assert [span.name for span in collector.spans] == ["unknown unknown"]


def test_failure_is_marked_without_its_message(pipeline, collector):
    """A span says 500; what the error said stays here."""

    def fail(network_input):
        raise RuntimeError("DOE^JANE")

    pipeline.backend.infer = fail
    assert serve(pipeline, collector.url, lambda c: post(c, CONTENT)).status_code == 500
    (whole,) = collector.spans
    assert to_attributes(whole)["http.response.status_code"] == 500
    assert whole.status.code == 2
    assert b"DOE" not in whole.SerializeToString()


ATTRIBUTES = {
    "http.request.method",
    "http.route",
    "http.response.status_code",
    "headcirc.request_id",
}


@pytest.mark.parametrize("path", ["/v1/analyses/DOE^JANE", "/v1/DOE^JANE", "/v1/models"])
def test_spans_hold_nothing_that_a_caller_made_up(pipeline, collector, path):
    """No path, query, header, address or method, whatever the route."""
    headers = {"user-agent": "DOE^JANE", "referer": "http://DOE^JANE/", "host": "localhost"}

    def ask(client):
        client.get(path, params={"name": "DOE^JANE"}, headers=headers)
        client.request("JANE", path)

    serve(pipeline, collector.url, ask)
    assert len(collector.spans) == 2
    for span in collector.spans:
        assert set(to_attributes(span)) == ATTRIBUTES
        assert not re.search(b"JANE|testclient", span.SerializeToString())


@pytest.mark.parametrize(
    ("query", "header"),
    [(b"", b"\xff\\x"), (b"", b"\\N{no such name}\xff"), (b"name=\xff", b"plain")],
)
def test_undecodable_requests_are_answered_while_they_are_traced(
    pipeline, collector, query, header
):
    """Whatever bytes the query and the headers hold, a span for the request costs no answer."""

    async def ask():
        app = create_app(Settings(otlp_endpoint=collector.url), pipeline)
        statuses = []

        async def send(message):
            statuses.append(message.get("status"))

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": "/v1/models", "raw_path": b"/v1/models",
            "query_string": query, "root_path": "", "client": None, "server": None, "state": {},
            "headers": [(b"host", b"localhost"), (b"user-agent", header)],
        }  # fmt: skip
        async with app.router.lifespan_context(app):
            await app(scope, never, send)
        return statuses[0]

    assert asyncio.run(ask()) == 200
    assert [span.name for span in collector.spans] == ["GET /v1/models"]


def test_collector_that_is_away_costs_no_answer(pipeline):
    """Nothing listens there; measurements go on, and the end is not held up for ever."""
    asked = serve(pipeline, "http://127.0.0.1:9", lambda c: post(c, CONTENT))
    assert asked.status_code == 201


def test_endpoint_is_checked_and_not_logged(monkeypatch):
    """What is no address stops the start; a set one may hold a password."""
    monkeypatch.setenv("HEADCIRC_OTLP_ENDPOINT", "collector")
    with pytest.raises(ValueError, match="HEADCIRC_OTLP_ENDPOINT"):
        load_settings()
    monkeypatch.delenv("HEADCIRC_OTLP_ENDPOINT")
    shown = to_public_settings(Settings(otlp_endpoint="http://user:passw0rd@collector:4318"))
    assert shown["otlp_endpoint"] == "set"
    assert to_public_settings(Settings())["otlp_endpoint"] is None


def test_without_an_endpoint_nothing_is_imported():
    """Tracing costs who does not use it neither memory nor a package."""
    import subprocess
    import sys

    program = "import sys, headcirc_service.app; print('opentelemetry.sdk' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
