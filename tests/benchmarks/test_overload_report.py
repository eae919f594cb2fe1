import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from shutil import which

import pytest

from benchmarks import overload
from benchmarks.load_tool import LoadToolError, run_tool, write_forms
from benchmarks.probes import UNANSWERED, probe
from harness.documents import read_block
from harness.pictures import Picture
from harness.service_process import RunningService
from harness.targets import EXIT_MISSED, EXIT_NOT_MEASURABLE, to_exit_status

ACCEPTED_MS = [100.0] * 90 + [200.0] * 10
TOOK_MS = {"p50": 2.0, "p95": 9.0, "p99": 12.0, "most": 40.0}
SLOW_S = 0.05


def to_report(**changed):
    capacity = overload.summarise_load(
        {"duration_s": 10.0, "statuses": {"200": 100}, "lost": 0, "accepted_ms": ACCEPTED_MS}, 8
    )
    load = overload.summarise_load(
        {
            "duration_s": 10.0,
            "statuses": {"200": 100, "429": 900} | changed.get("statuses", {}),
            "lost": changed.get("lost", 0),
            "accepted_ms": [changed.get("slower", 3.0) * each for each in ACCEPTED_MS],
        },
        80,
    )
    took_ms = TOOK_MS | {"p95": changed.get("probe_ms", 9.0)}
    return {
        "date": "2026-01-01T00:00:00Z",
        "machine": {"cpu": "a CPU", "cpus_available": 2},
        "model": {"name": "a-network", "version": "1.2.3"},
        "capacity": capacity,
        "overload": load,
        "probes": {
            path: {"statuses": {"200": 100} | changed.get(path, {}), "took_ms": took_ms}
            for path in ("/livez", "/readyz")
        },
        "memory_mb": {"before": 200.0, "after": changed.get("after_mb", 202.0), "most": 250.0},
    }


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({}, set()),
        ({"statuses": {"500": 1}}, {overload.FAILED}),
        ({"statuses": {"504": 1}}, {overload.FAILED}),
        ({"lost": 1}, {overload.FAILED}),
        ({"slower": 4.1}, {overload.SLOWER}),
        ({"after_mb": 240.0}, {overload.MEMORY}),
        ({"probe_ms": 219.0}, {overload.LIVE, overload.READY}),
        ({"/livez": {"503": 1}}, {overload.PROBED}),
        ({"/livez": {"unanswered": 1}}, {overload.PROBED}),
        ({"/readyz": {"unanswered": 1}}, {overload.PROBED}),
        ({"/readyz": {"500": 1}}, {overload.PROBED}),
        ({"/readyz": {"503": 40}}, set()),
    ],
)
def test_each_target_can_be_missed(changed, missed):
    """Errors, lost connections, slow answers, bad probes and kept memory each miss a target."""
    verdicts = overload.judge(to_report(**changed))
    assert {each.target for each in verdicts if each.status == "missed"} == missed
    assert len(verdicts) == 6
    assert all(each.status != "not measured" for each in verdicts)


def test_percentile_needs_enough_answers():
    """Without enough accepted requests, the 95th percentile is not measured."""
    report = to_report()
    report["overload"]["accepted_ms"] = overload.to_percentiles([1.0] * 49)
    statuses = {each.target: each.status for each in overload.judge(report)}
    assert statuses[overload.SLOWER] == "not measured"


@pytest.mark.parametrize("statuses", [{}, {"unanswered": 100}])
def test_unanswered_probes_miss_the_target(statuses):
    """Unanswered probes miss their target; without probes nothing is measured."""
    report = to_report()
    for each in report["probes"].values():
        each |= {"statuses": statuses, "took_ms": overload.to_percentiles([])}
    expected = EXIT_MISSED if statuses else EXIT_NOT_MEASURABLE
    assert to_exit_status(overload.judge(report)) == expected


def test_page_has_both_rates_and_every_verdict():
    """The block has the load, the statuses and every target."""
    block = overload.to_block(to_report())
    assert "8 connections get 10.0 measurements per second. 80 connections, which" in block
    assert "100 x 200, 900 x 429; 0 lost" in block
    assert block.count("\n- ") == 6
    assert read_block(overload.PAGE.read_text(), overload.BLOCK)


@pytest.fixture
def server():
    """Return a server that accepts every third request slowly and refuses the others at once."""
    numbers = count()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            accepts = next(numbers) % 3 == 0
            if accepts:
                time.sleep(SLOW_S)
            self.answer(200 if accepts else 429)

        def do_GET(self):
            self.answer(503 if self.path == "/readyz" else 200)

        def answer(self, status):
            self.send_response(status)
            self.send_header("x-request-id", self.headers.get("x-request-id", "none"))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield RunningService(running.server_port, pid=0, ready_s=0.0)
        running.shutdown()
        thread.join()


@pytest.mark.skipif(which("wrk") is None, reason="wrk is not installed (make system-deps)")
def test_load_tool_times_only_accepted_requests(server):
    """Refusals are fast and frequent; the times are those of the answers with 200."""
    with write_forms([Picture(b"one", 0.1), Picture(b"two", 0.2)]) as forms:
        summary = run_tool(overload.SCRIPT, server, forms, concurrency=6, duration_s=1)
    statuses, accepted_ms = summary["statuses"], summary["accepted_ms"]
    assert set(statuses) == {"200", "429"}
    assert statuses["429"] > statuses["200"] == len(accepted_ms) > 0
    assert min(accepted_ms) >= SLOW_S * 1000
    assert summary["lost"] == 0


def test_probes_record_statuses_and_times(server):
    """Statuses and times are recorded for each path; 503 of `/readyz` is an answer."""
    found = probe(server.url, 0.3)
    assert set(found["/livez"]["statuses"]) == {"200"}
    assert set(found["/readyz"]["statuses"]) == {"503"}
    assert found["/livez"]["statuses"]["200"] == len(found["/livez"]["took_ms"])


def test_unanswered_probes_are_counted():
    """On a port without a server, each probe is counted and has no time."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        found = probe(f"http://127.0.0.1:{unused.getsockname()[1]}", 0.2)
    for each in found.values():
        assert set(each["statuses"]) == {UNANSWERED}
        assert each["took_ms"] == []


def test_load_that_does_not_end_is_not_measured(server, monkeypatch, tmp_path):
    """A load tool that does not end raises an error with a readable message."""
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\nexec sleep 60\n")
    tool.chmod(0o700)
    monkeypatch.setattr("benchmarks.load_tool.require_load_tool", lambda: str(tool))
    monkeypatch.setattr("benchmarks.load_tool.GRACE_S", -0.5)
    with (
        write_forms([Picture(b"one", 0.1)]) as forms,
        pytest.raises(LoadToolError, match=r"not ended after 0\.5 s"),
    ):
        run_tool(overload.SCRIPT, server, forms, concurrency=1, duration_s=1)


def test_prober_that_does_not_end_is_not_measured(server, monkeypatch, tmp_path):
    """A prober that does not end is stopped, and the error names it."""
    monkeypatch.setattr(overload, "run_tool", lambda *_, **__: {})
    monkeypatch.setattr(overload, "GRACE_S", 0.1)
    with pytest.raises(LoadToolError, match="prober had not ended"):
        overload.overload(server, tmp_path, connections=1, duration_s=60)
