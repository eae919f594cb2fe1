import asyncio
import hashlib
import json
import logging
import os
import pty
import re

import headcirc_service.telemetry.metrics
import pytest
from headcirc_service.telemetry.logs import JsonFormatter, is_json_wanted
from headcirc_service.telemetry.request_context import name_request

from tests.service.http.test_problems import CONTENT, check, post
from tests.support.fake_cuda import SUCCESS, FakeCuda, cudaError_t
from tests.support.raw_http import call, to_form

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def find_request_lines(caplog):
    """Return the JSON lines of answered requests."""
    records = [each for each in caplog.records if each.name == "headcirc.requests"]
    return [json.loads(JsonFormatter().format(each)) for each in records]


def test_caller_s_request_id_is_taken_over(client):
    """The id comes back in the header, in a problem and nowhere changed."""
    answer = client.get("/v1/nothing", headers={"x-request-id": "ward-7.exam_3"})
    check(answer, 404, "not-found")
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "ward-7.exam_3"


@pytest.mark.parametrize("given", ["", "x" * 65, "two words", "a/b", 'quote"', "DOE^JANE"])
def test_unfit_request_id_is_replaced(client, given):
    """What is too long, or could hold anything, is not taken over."""
    told = client.get("/livez", headers={"x-request-id": given}).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", told)


def test_request_ids_differ():
    """Without one of the caller's, each request has its own."""
    assert name_request(None, None) != name_request(None, None)


def test_trace_is_continued_with_a_span_of_its_own(client):
    """Same trace and flags, another span."""
    given = f"00-{TRACE}-{SPAN}-01"
    told = client.get("/livez", headers={"traceparent": given}).headers["traceparent"]
    version, trace, span, flags = told.split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    assert re.fullmatch("[0-9a-f]{16}", span)
    assert span != SPAN


@pytest.mark.parametrize(
    "given", ["", "garbage", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}"]
)
def test_invalid_trace_is_ignored(client, given):
    """No trace is made up, and the request is answered."""
    answer = client.get("/livez", headers={"traceparent": given})
    assert answer.status_code == 200
    assert "traceparent" not in answer.headers


def test_each_request_is_one_line_with_its_names(client, caplog):
    """Route, status, time, ids and a problem's code; the route as a pattern, not as asked."""
    caplog.set_level(logging.INFO)
    headers = {"x-request-id": "mine", "traceparent": f"00-{TRACE}-{SPAN}-01"}
    client.get("/v1/analyses/secret", headers=headers)
    post(client, CONTENT)
    client.get("/livez")
    missing, measured = find_request_lines(caplog)  # and no line for the probe
    assert missing.pop("duration_ms") > 0
    assert missing.pop("time").endswith("+00:00")
    assert missing.pop("message").startswith("GET /v1/analyses/{analysis_id} 404")
    assert missing == {
        "level": "info", "logger": "headcirc.requests", "request_id": "mine", "trace_id": TRACE,
        "method": "GET", "route": "/v1/analyses/{analysis_id}", "status": 404, "code": "not-found",
    }  # fmt: skip
    assert (measured["route"], measured["status"]) == ("/v1/analyses", 201)
    assert "secret" not in caplog.text.replace("http://testserver/v1/analyses/secret", "")


def test_failure_is_logged_with_its_place_and_without_its_message(make_client, pipeline, caplog):
    """The line says where; what the error says may quote a request."""

    def fail(network_input):
        raise RuntimeError("DOE^JANE")

    pipeline.backend.infer = fail
    answer = post(make_client(), CONTENT)
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    line = json.loads(JsonFormatter().format(record))
    assert line["request_id"] == answer.json()["request_id"]
    assert line["error"] == "RuntimeError"
    assert "in fail" in line["where"]
    assert "DOE^JANE" not in line["message"].replace('raise RuntimeError("DOE^JANE")', "")


def test_log_is_text_on_a_terminal_and_json_elsewhere(tmp_path):
    """Unless one of both was asked for."""
    there, here = pty.openpty()
    with open(here, "w") as terminal, (tmp_path / "log").open("w") as file:
        assert not is_json_wanted("auto", terminal)
        assert is_json_wanted("auto", file)
        assert is_json_wanted("json", terminal)
        assert not is_json_wanted("text", file)
    os.close(there)


def test_metrics_tell_of_batches_the_store_and_the_process(client):
    """After one measurement and one repetition."""
    post(client, CONTENT)
    post(client, CONTENT)
    text = client.get("/metrics").text
    assert "headcirc_batch_size_count 1.0" in text
    assert 'headcirc_store_reads_total{outcome="miss"} 1.0' in text
    assert 'headcirc_store_reads_total{outcome="hit"} 1.0' in text
    (memory,) = re.findall(r"^process_resident_memory_bytes (\S+)", text, re.MULTILINE)
    assert float(memory) > 10_000_000


def read_request_counts(text):
    """Return route, method and status of all requests that were counted."""
    counts = re.findall(r"^headcirc_request_duration_seconds_count\{(.*)\}", text, re.MULTILINE)
    return {
        tuple(re.search(f'{name}="(.*?)"', each)[1] for name in ("route", "method", "status"))
        for each in counts
    }


def test_refusal_is_counted_by_the_route_that_would_have_answered(make_client):
    """Without a key, or with too large a body: neither is routed, both have a route."""
    key = {"authorization": "Bearer a-key"}
    client = make_client(api_key_hashes=hashlib.sha256(b"a-key").hexdigest(), max_upload_bytes=1000)
    client.get("/v1/analyses/secret/mask")
    client.get("/v1/secret")
    client.post("/v1/analyses", content=bytes(2000), headers=key)
    assert read_request_counts(client.get("/metrics", headers=key).text) == {
        ("/v1/analyses/{analysis_id}/mask", "GET", "401"),
        ("unknown", "unknown", "401"),
        ("/v1/analyses", "POST", "413"),
    }


def test_upload_that_its_client_ends_is_no_bad_request(client):
    """Who leaves half-way is counted as having left, not as having sent no image."""
    messages = [
        {"type": "http.request", "body": to_form(CONTENT)[:300], "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive():
        return messages.pop(0)

    answer = asyncio.run(call(client.app, receive))
    assert (answer.status, answer.json()["code"]) == (499, "client-left")
    counted = 'headcirc_rejected_total{reason="client-left"} 1.0'
    assert counted in client.get("/metrics").text


def test_method_that_is_none_becomes_no_label(client):
    """A caller may call a method anything; only those of HTTP are told apart."""
    client.request("DELETE", "/v1/models")
    client.request("DOE-JANE", "/v1/models")
    assert read_request_counts(client.get("/metrics").text) == {
        ("/v1/models", "DELETE", "405"),
        ("/v1/models", "unknown", "405"),
    }


class GpuOfGiven(FakeCuda):
    """A GPU of 1000 bytes; with `is_lost` it answers nothing any more."""

    is_lost = False

    def cudaMemGetInfo(self):
        if self.is_lost:
            return cudaError_t.cudaErrorMemoryAllocation, None, None
        return SUCCESS, self.free_bytes, 1000


def test_gpu_memory_is_told_where_a_gpu_measures(make_client, pipeline, monkeypatch):
    """What is in use now, NaN from a GPU that fails, and nothing where the CPU measures."""
    cuda = GpuOfGiven(memory_bytes=400)
    monkeypatch.setattr(headcirc_service.telemetry.metrics, "load_cuda", lambda: cuda)
    assert "gpu_memory" not in make_client().get("/metrics").text
    pipeline.backend.device = "NVIDIA H100 sm_90"
    client = make_client()
    assert "headcirc_gpu_memory_used_bytes 600.0" in client.get("/metrics").text
    cuda.is_lost = True
    assert "headcirc_gpu_memory_used_bytes NaN" in client.get("/metrics").text
