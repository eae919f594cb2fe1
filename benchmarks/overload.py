"""Put ten times the load on the service that it can serve: `python -m benchmarks.overload`.

wrk runs on the same CPUs as the service. First it uses eight connections, which keep the service
busy. Then it uses ten times as many; each sends its next request without a pause, whatever the
answer was. Meanwhile a separate process sends health probes.

Exit status 0: accepted requests are nearly as fast as at capacity, all other requests get 429, all
probes are answered within milliseconds, and the memory is released; 1: a target is missed; 3: the
measurement was not possible.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.load_tool import (
    GRACE_S,
    LoadToolError,
    add_load_options,
    report_load,
    run_tool,
    to_service_settings,
    wait_until_idle,
    write_forms,
)
from harness.documents import replace_block
from harness.machine import describe_machine, to_shipped_note, to_timestamp
from harness.pictures import load_pictures
from harness.processes import read_memory_mb
from harness.served import fetch_model
from harness.service_process import RunningService, start_service
from harness.targets import EXIT_NOT_MEASURABLE, Target, Verdict, to_exit_status

SCHEMA_VERSION = 1
COMMAND = "python -m benchmarks.overload"
SCRIPT = Path(__file__).with_name("overload.lua")
PAGE, BLOCK = Path("docs/performance.md"), "overload"
REPORT = "overload.json"
CONNECTIONS, TIMES = 8, 10
WARM_S, CAPACITY_S = 3, 20
FEWEST_ANSWERS = 50
"""With fewer answers there is no 95th percentile."""
REFUSED, ACCEPTED = "429", ("200", "201")
FAILED = Target("cpu", "answers other than 200, 201 and 429, and lost connections", 0, "requests")
SLOWER = Target("cpu", "p95 of accepted requests, compared with p95 at capacity", 4.0, "times")
PROBED = Target("cpu", "probes without an answer or with a wrong status", 0, "probes")
LIVE = Target("cpu", "/livez, p95", 25.0, "ms")
READY = Target("cpu", "/readyz, p95", 25.0, "ms")
PROPER = {"/livez": ("200",), "/readyz": ("200", "503")}
"""The correct statuses of each probe; an overloaded service may report that it is not ready."""
MEMORY = Target("cpu", "idle memory after the load, compared with before", 1.05, "times")


def summarise_load(summary: Mapping[str, Any], connections: int) -> dict[str, Any]:
    """Return one load as JSON data; `accepted` counts the accepted answers."""
    accepted_ms = summary["accepted_ms"]
    return {
        "connections": connections,
        "duration_s": summary["duration_s"],
        "statuses": summary["statuses"],
        "lost": summary["lost"],
        "accepted": len(accepted_ms),
        "accepted_per_s": len(accepted_ms) / summary["duration_s"],
        "accepted_ms": to_percentiles(accepted_ms),
    }


def to_percentiles(took_ms: Sequence[float]) -> dict[str, float] | None:
    """Return p50, p95, p99 and the maximum; None for too few answers."""
    if len(took_ms) < FEWEST_ANSWERS:
        return None
    p50, p95, p99 = np.percentile(took_ms, [50, 95, 99])
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99), "most": float(max(took_ms))}


def overload(
    service: RunningService, forms: Path, *, connections: int, duration_s: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the overload and the probes at the same time, and return the results of both.

    Raises
    ------
    LoadToolError
        The load tool or the prober failed or did not end.
    """
    command = [sys.executable, "-m", "benchmarks.probes", service.url, str(duration_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as prober:
        try:
            summary = run_tool(
                SCRIPT, service, forms, concurrency=connections, duration_s=duration_s
            )
            probed, _ = prober.communicate(timeout=GRACE_S)
        except subprocess.TimeoutExpired as error:
            raise LoadToolError(f"the prober had not ended {GRACE_S:g} s later") from error
        finally:
            prober.kill()
    if prober.returncode:
        raise LoadToolError(f"the prober ended with status {prober.returncode}")
    probes = {
        path: {"statuses": each["statuses"], "took_ms": to_percentiles(each["took_ms"])}
        for path, each in json.loads(probed).items()
    }
    return summarise_load(summary, connections), probes


def judge(report: Mapping[str, Any]) -> list[Verdict]:
    """Compare a report with the targets."""
    capacity, load, probes = report["capacity"], report["overload"], report["probes"]
    expected = (REFUSED, *ACCEPTED)
    others = sum(count for each, count in load["statuses"].items() if each not in expected)
    total = sum(load["statuses"].values())
    at_capacity, accepted = capacity["accepted_ms"], load["accepted_ms"]
    slower = accepted["p95"] / at_capacity["p95"] if accepted and at_capacity else None
    before_mb, after_mb = report["memory_mb"]["before"], report["memory_mb"]["after"]
    verdicts = [
        Verdict(FAILED, f"{total:,} answers", others + load["lost"]),
        Verdict(SLOWER, f"{load['accepted']:,} accepted", slower),
        Verdict(MEMORY, f"{before_mb:.0f} to {after_mb:.0f} MB", after_mb / before_mb),
    ]
    for target, path in ((LIVE, "/livez"), (READY, "/readyz")):
        took_ms = probes[path]["took_ms"]
        subject = f"maximum {took_ms['most']:.0f} ms" if took_ms else "too few probes"
        verdicts.append(Verdict(target, subject, took_ms and took_ms["p95"]))
    return [*verdicts, judge_statuses(probes)]


def judge_statuses(probes: Mapping[str, Any]) -> Verdict:
    """Compare the statuses of the probes with the correct ones."""
    answers = [
        (path, status, count)
        for path in PROPER
        for status, count in probes[path]["statuses"].items()
    ]
    wrong = sum(count for path, status, count in answers if status not in PROPER[path])
    subject = ", ".join(f"{count:,} x {path} {status}" for path, status, count in answers)
    return Verdict(PROBED, subject or "no probe", wrong if answers else None)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Measure the service at capacity and under overload; return the report."""
    source, pictures = load_pictures(chosen.data)
    settings = to_service_settings(chosen)
    with start_service(chosen.model, **settings) as service, write_forms(pictures) as forms:
        with httpx.Client(base_url=service.url) as client:
            served = fetch_model(client)
        for duration_s in (WARM_S, chosen.capacity_s):
            summary = run_tool(
                SCRIPT, service, forms, concurrency=CONNECTIONS, duration_s=duration_s
            )
            wait_until_idle(service.pid)
        before_mb = read_memory_mb(service.pid)
        load, probes = overload(
            service,
            forms,
            connections=CONNECTIONS * chosen.times,
            duration_s=chosen.duration_s,
        )
        wait_until_idle(service.pid)
        after_mb = read_memory_mb(service.pid)
        most_mb = read_memory_mb(service.pid, "VmHWM")
    report = {
        "schema_version": SCHEMA_VERSION,
        "command": COMMAND,
        "date": to_timestamp(),
        "machine": describe_machine(),
        "load_tool": "wrk, one thread, closed loop without a pause, on the same CPUs",
        "model": served,
        "pictures": source,
        "capacity": summarise_load(summary, CONNECTIONS),
        "overload": load,
        "probes": probes,
        "memory_mb": {"before": before_mb, "most": most_mb, "after": after_mb},
    }
    return report | {"verdicts": [each.to_facts() for each in judge(report)]}


def to_block(report: Mapping[str, Any]) -> str:
    """Return the block for the page, from the report only."""
    machine, capacity, load = report["machine"], report["capacity"], report["overload"]
    model = report["model"]
    statuses = ", ".join(f"{count:,} x {each}" for each, count in sorted(load["statuses"].items()))
    return "\n".join(
        [
            f"`{COMMAND}`, `{model['name']}` {model['version']} on {machine['cpu']}, "
            f"{machine['cpus_available']} CPUs, "
            f"{report['date'][:10]}: {capacity['connections']} connections get "
            f"{capacity['accepted_per_s']:.1f} measurements per second. {load['connections']} "
            f"connections, which send requests without a pause for {load['duration_s']:.0f} s, get "
            f"{load['accepted_per_s']:.1f} per second ({statuses}; {load['lost']} lost)."
            + to_shipped_note({model["name"]: model["version"]}),
            "",
            *(f"- {verdict.to_line()}" for verdict in judge(report)),
        ]
    )


def to_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--duration-s", type=int, default=60, help="duration of the overload")
    parser.add_argument(
        "--capacity-s", type=int, default=CAPACITY_S, help="duration of the load at capacity"
    )
    parser.add_argument(
        "--times", type=int, default=TIMES, help="connections as a multiple of those at capacity"
    )
    parser.add_argument("--no-page", action="store_true", help="do not write docs/performance.md")
    add_load_options(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report and the page, print the block; return the exit status."""
    chosen = to_parser().parse_args(arguments)
    report = report_load(measure, chosen, REPORT)
    if report is None:
        return EXIT_NOT_MEASURABLE
    if not chosen.no_page:
        PAGE.write_text(replace_block(PAGE.read_text(), BLOCK, to_block(report)))
    print(to_block(report))
    return to_exit_status(judge(report))


if __name__ == "__main__":
    sys.exit(main())
