"""The service on Ray Serve beside the plain one, loaded: `python -m benchmarks.ray_throughput`.

Both answer the same pictures on the same CPUs, one after the other, loaded by wrk. Exit status 0:
measured; 3: not measurable.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.load_tool import drive, report_load, write_forms
from benchmarks.throughput import QUEUE_CAPACITY, WARM_S, to_row
from harness.machine import describe_machine, to_model_facts, to_timestamp
from harness.paths import DEFAULT_DATA_DIR, SPEED_RESULTS_DIR
from harness.pictures import load_pictures
from harness.processes import find_tree, read_cpu_s, read_memory_mb
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
"""Ray's own processes are never quite idle, so that there is no waiting until they are."""


def to_programs(cpus: int) -> dict[str, tuple[str, ...]]:
    """Return what is measured: the plain service; Ray with one replica, and one for each CPU."""
    one = ("deploy.ray.serve", "--cpus", str(cpus))
    many = ("deploy.ray.serve", "--cpus", "1", "--min-replicas", str(cpus))
    programs = {"plain": PLAIN, f"Ray, 1 replica of {cpus} CPUs": one}
    if cpus > 1:
        programs[f"Ray, {cpus} replicas of 1 CPU"] = (*many, "--max-replicas", str(cpus))
    return programs


def count_cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and all below it that still run."""
    total_s = 0.0
    for each in find_tree(pid):
        with suppress(OSError):  # it has ended
            total_s += read_cpu_s(each)
    return total_s


def measure_one(
    service: RunningService, forms: Path, concurrencies: Sequence[int], duration_s: int
) -> list[dict[str, Any]]:
    """Return a row for each concurrency; CPU and memory are of the whole tree of processes."""
    rows = []
    cpus = count_available_cpus()
    for concurrency in tqdm(concurrencies, "load", unit="level"):
        drive(service, forms, concurrency, WARM_S)
        time.sleep(SETTLE_S)
        before_s = count_cpu_s(service.pid)
        load = drive(service, forms, concurrency, duration_s)
        load = replace(load, service_cpu_s=count_cpu_s(service.pid) - before_s)
        tree = find_tree(service.pid)
        tree_mb = sum(read_memory_mb(each) for each in tree)
        row = to_row(load, cpus, peak_memory_mb=tree_mb)
        row["memory_mb"] = row.pop("peak_memory_mb")  # of now; of a tree there is no peak
        rows.append(row | {"processes": len(tree)})
    return rows


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the report."""
    words, pictures = load_pictures(chosen.data)
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
        "pictures": words,
        "services": services,
    }


def to_markdown(report: Mapping[str, Any]) -> str:
    """Return a line for each service, at one concurrency, beside the first service's."""
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
                f"{row['p99_ms']:.1f} ms, {cost_s * 1000:.1f} ms of CPU each, "
                f"{row['memory_mb']:.0f} MB in {row['processes']} processes, "
                f"{row['failed']} failed"
            )
    return "\n".join(lines)


def to_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--duration-s", type=int, default=20, help="of each concurrency")
    parser.add_argument("--concurrency", type=int, nargs="+", default=CONCURRENCIES)
    parser.add_argument("--model", type=Path, default=SHIPPED_MODEL_DIR, help="model folder")
    parser.add_argument("--data", type=Path, default=Path(DEFAULT_DATA_DIR), help="HC18's folder")
    parser.add_argument(
        "--out", type=Path, default=SPEED_RESULTS_DIR, help="folder for the results"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write, print; return the exit status."""
    chosen = to_parser().parse_args(arguments)
    if find_spec("ray") is None:
        print("not measured: the package 'ray' is missing (the extra 'ray')", file=sys.stderr)
        return EXIT_NOT_MEASURABLE
    report = report_load(measure, chosen, "ray_throughput.json")
    if report is None:
        return EXIT_NOT_MEASURABLE
    print(to_markdown(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
