"""Measure throughput and latency under load: `python -m benchmarks.throughput`.

wrk runs on the same CPUs as the service and sends requests with increasing concurrency.

Exit status 0: the service's share of all CPU time at concurrency 8 is at least 80 %, and it answers
at least 1.05 times as many requests as at concurrency 1; 1: a target is missed; 3: the measurement
was not possible.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
from matplotlib.figure import Figure
from tqdm import tqdm

from benchmarks.latency_plots import scale_logarithmically
from benchmarks.load_tool import (
    Load,
    add_load_options,
    drive,
    report_load,
    to_service_settings,
    wait_until_idle,
    write_forms,
)
from harness.machine import describe_machine, to_timestamp
from harness.pictures import load_pictures
from harness.processes import read_memory_mb
from harness.served import fetch_model
from harness.service_process import start_service
from harness.targets import EXIT_NOT_MEASURABLE, Target, Verdict, to_exit_status

SCHEMA_VERSION = 1
COMMAND = "python -m benchmarks.throughput"
CONCURRENCIES = (1, 2, 4, 8, 16, 32)
JUDGED_CONCURRENCY = 8
WARM_S = 3
QUEUE_CAPACITY = 64
"""Larger than the highest concurrency, so that no request is refused with a fast 429."""
DOTS_PER_INCH = 150
TARGET = Target(
    "cpu",
    f"throughput at concurrency {JUDGED_CONCURRENCY}",
    0.8,
    "of the CPU-bound maximum",
    is_floor=True,
)

GAIN = Target(
    "cpu",
    f"images per second at concurrency {JUDGED_CONCURRENCY}, compared with concurrency 1",
    1.05,
    "times",
    is_floor=True,
)


def to_row(load: Load, cpus: int, peak_memory_mb: float) -> dict[str, Any]:
    """Return the JSON row of one concurrency.

    `share_of_cpus` is the throughput divided by the CPU-bound maximum, which is the number of CPUs
    divided by the service's CPU seconds per request.
    """
    cost_s = load.service_cpu_s_per_request
    return asdict(load) | {
        "throughput_per_s": load.throughput_per_s,
        "service_cpu_s_per_request": cost_s,
        "tool_cpu_share": load.tool_cpu_s / load.duration_s,
        "share_of_cpus": None if cost_s is None else load.throughput_per_s * cost_s / cpus,
        "peak_memory_mb": peak_memory_mb,
    }


def judge(rows: Sequence[Mapping[str, Any]]) -> Verdict:
    """Compare the judged concurrency with the target; with failed requests there is no result."""
    for row in rows:
        if row["concurrency"] == JUDGED_CONCURRENCY:
            if row["failed"]:
                return Verdict(TARGET, f"{row['failed']} requests failed", None)
            return Verdict(
                TARGET, f"{row['throughput_per_s']:.1f} requests/s", row["share_of_cpus"]
            )
    return Verdict(TARGET, f"concurrency {JUDGED_CONCURRENCY} was left out", None)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Measure each concurrency after a warm-up; return the report."""
    source, pictures = load_pictures(chosen.data)
    machine = describe_machine()
    settings = to_service_settings(chosen) | {"queue_capacity": str(QUEUE_CAPACITY)}
    rows = []
    with start_service(chosen.model, **settings) as service, write_forms(pictures) as forms:
        with httpx.Client(base_url=service.url) as client:
            served = fetch_model(client)
        for concurrency in tqdm(chosen.concurrency, "load", unit="level"):
            drive(service, forms, concurrency, WARM_S)
            wait_until_idle(service.pid)
            load = drive(service, forms, concurrency, chosen.duration_s)
            peak_memory_mb = read_memory_mb(service.pid, "VmHWM")
            rows.append(to_row(load, machine["cpus_available"], peak_memory_mb))
    return {
        "schema_version": SCHEMA_VERSION,
        "command": COMMAND,
        "date": to_timestamp(),
        "machine": machine,
        "load_tool": "wrk, one thread, closed loop, on the same CPUs",
        "model": served,
        "pictures": source,
        "loads": rows,
        "verdict": judge(rows).to_facts(),
        "gain": judge_gain(rows).to_facts(),
    }


def judge_gain(rows: Sequence[Mapping[str, Any]]) -> Verdict:
    """Compare the throughput of several requests at a time with that of one at a time."""
    rates = {row["concurrency"]: row["throughput_per_s"] for row in rows if not row["failed"]}
    if not {1, JUDGED_CONCURRENCY} <= {*rates}:
        return Verdict(GAIN, "one of the two was left out, or had failures", None)
    one, many = rates[1], rates[JUDGED_CONCURRENCY]
    return Verdict(GAIN, f"{many:.1f} and {one:.1f} requests/s", many / one)


def to_markdown(report: Mapping[str, Any]) -> str:
    """Return the report as a Markdown table."""
    lines = [
        "| concurrency | requests/s | p50 / p95 / p99, ms | CPU of the service, ms/request "
        "| CPUs used: service + wrk | failed |",
        "|---|---|---|---|---|---|",
    ]
    for row in report["loads"]:
        cost_s = row["service_cpu_s_per_request"]
        cost = "-" if cost_s is None else f"{cost_s * 1000:.1f}"
        used = row["service_cpu_s"] / row["duration_s"]
        lines.append(
            f"| {row['concurrency']} | {row['throughput_per_s']:.1f} "
            f"| {row['p50_ms']:.1f} / {row['p95_ms']:.1f} / {row['p99_ms']:.1f} | {cost} "
            f"| {used:.2f} + {row['tool_cpu_share']:.2f} | {row['failed']} |"
        )
    verdicts = [judge(report["loads"]), judge_gain(report["loads"])]
    return "\n".join([*lines, "", *(f"- {each.to_line()}" for each in verdicts)])


def plot(report: Mapping[str, Any], path: Path) -> None:
    """Plot the latency and the throughput against the concurrency, as PNG.

    Latency against throughput would show little, because one request already keeps all CPUs busy.
    """
    rows = [row for row in report["loads"] if row["answers"]]
    concurrencies = [row["concurrency"] for row in rows]
    figure = Figure((8.0, 4.0), layout="constrained")
    latency, rate = figure.subplots(1, 2)
    for name, style in (("p50", "o-"), ("p95", "s--"), ("p99", "^:")):
        latency.plot(concurrencies, [row[f"{name}_ms"] for row in rows], style, label=name)
    scale_logarithmically(latency, "y")
    latency.set_ylabel("latency, ms")
    latency.legend()
    rate.plot(concurrencies, [row["throughput_per_s"] for row in rows], "o-")
    rate.set_ylim(bottom=0)
    rate.set_ylabel("answered requests per second")
    rate.grid(color="0.9")
    for axes in (latency, rate):
        axes.set_xscale("log", base=2)
        axes.set_xticks(concurrencies, [str(each) for each in concurrencies])
        axes.set_xlabel("concurrent requests")
    model = report["model"]
    title = f"Latency against load: {model['name']}, {model['backend']} {model['precision']}"
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def to_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--duration-s", type=int, default=20, help="seconds per concurrency")
    parser.add_argument("--concurrency", type=int, nargs="+", default=CONCURRENCIES)
    add_load_options(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report and plot, print the table; return the exit status."""
    chosen = to_parser().parse_args(arguments)
    report = report_load(measure, chosen, "throughput.json")
    if report is None:
        return EXIT_NOT_MEASURABLE
    plot(report, chosen.out / "throughput.png")
    print(to_markdown(report))
    return to_exit_status([judge(report["loads"]), judge_gain(report["loads"])])


if __name__ == "__main__":
    sys.exit(main())
