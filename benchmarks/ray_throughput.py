"""Compare Ray Serve with the plain service under load: `python -m benchmarks.ray_throughput`.

wrk sends the same pictures to one service after the other, on the same CPUs. Exit status 0:
measured; 3: the measurement was not possible.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.load_tool import drive, report_load, write_forms
from benchmarks.throughput import QUEUE_CAPACITY, WARM_S, to_row
from harness.machine import describe_machine, to_model_facts, to_timestamp
from harness.options import add_folder_options, add_model_option
from harness.paths import SPEED_RESULTS_DIR
from harness.pictures import load_pictures
from harness.processes import find_tree, read_cpu_s, read_memory_mb, sum_over_tree
from harness.service_process import PLAIN, RunningService, start_service
from harness.targets import EXIT_NOT_MEASURABLE
from headcirc.cpus import count_available_cpus
from headcirc.model.manifest import load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR

SCHEMA_VERSION = 1
COMMAND = "python -m benchmarks.ray_throughput"
CONCURRENCIES = (1, 2, 8, 32)
JUDGED_CONCURRENCY = 8
RAY_PATIENCE_S = 300.0
SETTLE_S = 5.0
"""Pause after the warm-up; Ray's processes are never idle, so waiting for that is not possible."""


def to_programs(cpus: int) -> dict[str, tuple[str, ...]]:
    """Return the measured services: plain, Ray with one replica, and Ray with one per CPU."""
    one = ("deploy.ray.serve", "--cpus", str(cpus))
    many = ("deploy.ray.serve", "--cpus", "1", "--min-replicas", str(cpus))
    programs = {"plain": PLAIN, f"Ray, 1 replica of {cpus} CPUs": one}
    if cpus > 1:
        programs[f"Ray, {cpus} replicas of 1 CPU"] = (*many, "--max-replicas", str(cpus))
    return programs


def measure_one(
    service: RunningService, forms: Path, concurrencies: Sequence[int], duration_s: int
) -> list[dict[str, Any]]:
    """Return a row per concurrency; CPU and memory are summed over the tree of processes."""
    rows = []
    cpus = count_available_cpus()
    for concurrency in tqdm(concurrencies, "load", unit="level"):
        drive(service, forms, concurrency, WARM_S)
        time.sleep(SETTLE_S)
        before_s = sum_over_tree(service.pid, read_cpu_s)
        load = drive(service, forms, concurrency, duration_s)
        used_s = sum_over_tree(service.pid, read_cpu_s) - before_s
        load = replace(load, service_cpu_s=used_s)
        tree = find_tree(service.pid)
        tree_mb = sum(read_memory_mb(each) for each in tree)
        row = to_row(load, cpus, peak_memory_mb=tree_mb)
        row["memory_mb"] = row.pop("peak_memory_mb")  # current memory; a tree has no peak
        rows.append(row | {"processes": len(tree)})
    return rows


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Measure all services and return the report."""
    source, pictures = load_pictures(chosen.data)
    settings = {"result_ttl_s": "0", "queue_capacity": str(QUEUE_CAPACITY)}
    services = []
    with write_forms(pictures) as forms:
        for name, program in to_programs(count_available_cpus()).items():
            with start_service(
                chosen.model, program=program, patience_s=RAY_PATIENCE_S, **settings
            ) as service:
                rows = measure_one(service, forms, chosen.concurrency, chosen.duration_s)
                services.append({"service": name, "ready_s": service.ready_s, "loads": rows})
    return {
        "schema_version": SCHEMA_VERSION,
        "command": COMMAND,
        "date": to_timestamp(),
        "machine": describe_machine(),
        "model": to_model_facts(load_manifest(chosen.model)),
        "load_tool": "wrk, one thread, closed loop, on the same CPUs",
        "pictures": source,
        "services": services,
    }


def to_markdown(report: Mapping[str, Any]) -> str:
    """Return a line per service at one concurrency, compared with the first service."""
    lines = []
    first_per_s = None
    for service in report["services"]:
        for row in service["loads"]:
            if row["concurrency"] != JUDGED_CONCURRENCY:
                continue
            first_per_s = first_per_s or row["throughput_per_s"]
            share = row["throughput_per_s"] / first_per_s if first_per_s else 0.0
            cost_s = row["service_cpu_s_per_request"] or 0.0
            lines.append(
                f"- {service['service']}: {row['throughput_per_s']:.1f} requests/s ({share:.0%}) "
                f"at concurrency {JUDGED_CONCURRENCY}, p50 {row['p50_ms']:.1f} ms, p99 "
                f"{row['p99_ms']:.1f} ms, {cost_s * 1000:.1f} ms of CPU per request, "
                f"{row['memory_mb']:.0f} MB in {row['processes']} processes, "
                f"{row['failed']} failed"
            )
    return "\n".join(lines)


def to_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--duration-s", type=int, default=20, help="seconds per concurrency")
    parser.add_argument("--concurrency", type=int, nargs="+", default=CONCURRENCIES)
    add_model_option(parser, SHIPPED_MODEL_DIR)
    add_folder_options(parser, SPEED_RESULTS_DIR)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report, print the summary; return the exit status."""
    chosen = to_parser().parse_args(arguments)
    if find_spec("ray") is None:
        print("not measured: Ray is not installed. Install headcirc[ray].", file=sys.stderr)
        return EXIT_NOT_MEASURABLE
    report = report_load(measure, chosen, "ray_throughput.json")
    if report is None:
        return EXIT_NOT_MEASURABLE
    print(to_markdown(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
