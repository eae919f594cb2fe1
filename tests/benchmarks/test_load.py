import json
from argparse import Namespace

import pytest

from benchmarks import limits, ray_throughput, throughput
from benchmarks.load_tool import Load, LoadToolError, parse_summary, report_load
from harness.service_process import ServiceFailedError

SUMMARY = {
    "duration_s": 2.0,
    "answers": 96,
    "failed": 0,
    "p50_ms": 160.0,
    "p95_ms": 190.0,
    "p99_ms": 200.0,
    "most_ms": 210.0,
}
WRK = f"""Running 3s test @ http://127.0.0.1:8000
Requests/sec:     48.00
{json.dumps(SUMMARY)}
"""


def to_load(**changed):
    facts = parse_summary(WRK) | {"concurrency": 8, "service_cpu_s": 3.6, "tool_cpu_s": 0.1}
    return Load(**(facts | changed))


def test_summary_is_found_in_the_output_of_the_tool():
    """The summary is one line of JSON; without it the measurement fails."""
    assert parse_summary(WRK)["answers"] == 96
    with pytest.raises(LoadToolError):
        parse_summary("unable to connect")


def test_cpu_time_of_the_tool_is_not_counted_for_the_service():
    """96 answers take 3.6 CPU seconds of the service; the time of wrk is separate."""
    row = throughput.to_row(to_load(), cpus=2, peak_memory_mb=300.0)
    assert row["throughput_per_s"] == pytest.approx(48)
    assert row["service_cpu_s_per_request"] == pytest.approx(0.0375)
    assert row["tool_cpu_share"] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, "met"),
        ({"service_cpu_s": 3.1}, "missed"),
        ({"failed": 1}, "not measured"),
        ({"answers": 0}, "not measured"),
        ({"concurrency": 4}, "not measured"),
    ],
)
def test_throughput_is_judged_at_concurrency_8(changed, status):
    """48/s are 90 % of 2 CPUs at 37.5 ms; failed requests give no result."""
    rows = [throughput.to_row(to_load(**changed), cpus=2, peak_memory_mb=300.0)]
    assert throughput.judge(rows).status == status


@pytest.mark.parametrize(("answers", "status"), [(480, "missed"), (504, "met")])
def test_many_requests_at_a_time_are_compared_with_one(answers, status):
    """Both have to be measured; at concurrency 1 there are 240 answers per second."""
    loads = [to_load(concurrency=1, answers=480), to_load(answers=answers)]
    rows = [throughput.to_row(load, cpus=2, peak_memory_mb=300.0) for load in loads]
    assert throughput.judge_gain(rows).status == status
    assert throughput.judge_gain(rows[1:]).status == "not measured"


def test_table_and_plot_have_every_concurrency(tmp_path):
    """Each load is a row of the table; the plot is drawn from the same report."""
    rows = [throughput.to_row(to_load(concurrency=n), 2, peak_memory_mb=300.0) for n in (4, 8)]
    model = {"name": "m", "backend": "openvino", "precision": "int8"}
    report = {"loads": rows, "model": model}
    table = throughput.to_markdown(report)
    assert "| 4 | 48.0 | 160.0 / 190.0 / 200.0 | 37.5 | 1.80 + 0.05 | 0 |" in table
    throughput.plot(report, tmp_path / "load.png")
    assert (tmp_path / "load.png").stat().st_size > 0


def to_limited(cpus=2, used=1.9, idle=0.001, absent=None):
    row = {"limit": "affinity", "cpus": cpus, "absent": absent}
    return row if absent else row | {"cpus_used": used, "idle_cpu_s_per_s": idle}


@pytest.mark.parametrize(
    ("row", "statuses"),
    [
        (to_limited(), ["met", "met", "met"]),
        (to_limited(used=1.0), ["missed", "met", "met"]),
        (to_limited(used=2.2), ["met", "missed", "met"]),
        (to_limited(idle=0.5), ["met", "met", "missed"]),
        (to_limited(cpus=4, absent="this machine has 2 CPUs"), ["not measured"]),
    ],
)
def test_service_uses_the_given_cpus_and_no_more(row, statuses):
    """The service uses the given CPUs under load, no more, and almost none when idle."""
    assert [verdict.status for verdict in limits.judge([row])] == statuses


def test_limit_above_the_number_of_cpus_is_unavailable():
    """A limit above the number of CPUs is refused, by affinity and by quota."""
    for limit in limits.LIMITS.values():
        with pytest.raises(limits.LimitUnavailableError), limit(10_000):
            pass


def test_only_threads_with_a_notable_share_count_as_busy():
    """Two of four threads did nearly all work between two samples."""
    before_s = {1: 5.0, 2: 0.0, 3: 1.0}
    after_s = {1: 5.0, 2: 4.0, 3: 5.0, 4: 0.1}
    assert limits.count_busy(before_s, after_s) == 2


def test_ray_is_compared_with_the_plain_service():
    """Half the answers of the first service are 50 %; other concurrencies are not listed."""
    services = [
        {
            "service": name,
            "loads": [
                throughput.to_row(
                    to_load(answers=answers, concurrency=concurrency), cpus=2, peak_memory_mb=300.0
                )
                | {"processes": 1, "memory_mb": 300.0}
                for concurrency in (1, 8)
            ],
        }
        for name, answers in (("plain", 96), ("Ray", 48))
    ]
    first, second = ray_throughput.to_markdown({"services": services}).splitlines()
    assert first.startswith("- plain: 48.0 requests/s (100%) at concurrency 8")
    assert second.startswith("- Ray: 24.0 requests/s (50%) at concurrency 8")


@pytest.mark.parametrize("error", [LoadToolError, ServiceFailedError])
def test_failed_load_writes_no_report(tmp_path, capsys, error):
    """The error of the load tool or the service is printed, and no file is written."""

    def fail(chosen):
        raise error("the reason")

    assert report_load(fail, Namespace(out=tmp_path), "load.json") is None
    assert capsys.readouterr().err.startswith("not measured: ")
    assert not list(tmp_path.iterdir())
