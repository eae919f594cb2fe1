"""Measure the service within the CPU limits of a container: `python -m benchmarks.limits`.

The command limits the service to 1, 2 and 4 CPUs, by affinity and by the quota of a control group,
and puts it under more load than it can serve. The service should use the given CPUs and no more,
and almost no CPU when it is idle.

Exit status 0: every target is met; 1: a target is missed; 3: a limit could not be set.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.load_tool import (
    LoadToolError,
    add_load_options,
    drive,
    to_service_settings,
    wait_until_idle,
    write_forms,
)
from harness.documents import write_report
from harness.machine import describe_machine, to_model_facts, to_timestamp
from harness.pictures import Picture, load_pictures
from harness.processes import read_cpu_s, read_thread_cpu_s
from harness.service_process import ServiceFailedError, start_service
from harness.targets import Target, Verdict, to_exit_status
from headcirc.cpus import find_group_folders
from headcirc.model.manifest import load_manifest

SCHEMA_VERSION = 1
COMMAND = "python -m benchmarks.limits"
CPU_COUNTS = (1, 2, 4)
CONNECTIONS_PER_CPU = 4
WARM_S = 3
BUSY_THREAD_SHARE = 0.05
Confinement = Callable[[], AbstractContextManager[None]]
MEMBERS = "cgroup.procs"
PERIOD_US = 100_000
USED = Target("cpu", "CPU use under load", 0.8, "of the given CPUs", is_floor=True)
NO_MORE = Target("cpu", "CPU use under load", 1.05, "of the given CPUs")
IDLE = Target("cpu", "CPU use without a request", 0.01, "CPUs")


class LimitUnavailableError(Exception):
    """The limit cannot be set on this machine; the message has the reason."""


@contextmanager
def affinity(cpus: int) -> Iterator[Confinement]:
    """Limit processes that start inside the confinement to some CPUs, by affinity.

    Children inherit the affinity of the thread that starts them.
    """
    own = os.sched_getaffinity(0)
    if cpus > len(own):
        raise LimitUnavailableError(f"this machine has {len(own)} CPUs")

    @contextmanager
    def confine() -> Iterator[None]:
        os.sched_setaffinity(0, sorted(own)[:cpus])
        try:
            yield
        finally:
            os.sched_setaffinity(0, own)

    yield confine


@contextmanager
def quota(cpus: int) -> Iterator[Confinement]:
    """Limit the CPU time of processes that start inside the confinement, by a control group."""
    available = len(os.sched_getaffinity(0))
    if cpus > available:
        raise LimitUnavailableError(f"this machine has {available} CPUs")
    own = find_own_group()
    group = own / f"headcirc-limits-{os.getpid()}"
    try:
        group.mkdir()
        _set_quota(group, cpus)
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        raise LimitUnavailableError(f"control groups cannot be written: {error}") from error

    @contextmanager
    def confine() -> Iterator[None]:
        (group / MEMBERS).write_text(str(os.getpid()))
        try:
            yield
        finally:
            (own / MEMBERS).write_text(str(os.getpid()))

    try:
        yield confine
    finally:
        group.rmdir()


def find_own_group() -> Path:
    """Return the folder of the control group whose CPU time this process shares."""
    groups = [folder for folder in find_group_folders() if (folder / MEMBERS).is_file()]
    if not groups:
        raise LimitUnavailableError("there are no control groups")
    return groups[0]


def _set_quota(group: Path, cpus: int) -> None:
    if (group / "cpu.cfs_quota_us").exists():  # version 1
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(cpus * PERIOD_US))
    else:
        (group / "cpu.max").write_text(f"{cpus * PERIOD_US} {PERIOD_US}")


LIMITS: Mapping[str, Callable[[int], AbstractContextManager[Confinement]]] = {
    "affinity": affinity,
    "quota": quota,
}


def measure_limited(
    limit: str, cpus: int, pictures: Sequence[Picture], chosen: argparse.Namespace
) -> dict[str, Any]:
    """Measure the CPU use of a limited service under load and idle.

    The row's `absent` has the reason if the limit could not be set or measured.
    """
    row: dict[str, Any] = {"limit": limit, "cpus": cpus, "absent": None}
    settings = to_service_settings(chosen)
    try:
        with ExitStack() as stack:
            confine = stack.enter_context(LIMITS[limit](cpus))
            forms = stack.enter_context(write_forms(pictures))
            with confine():
                service = stack.enter_context(start_service(chosen.model, **settings))
            drive(service, forms, CONNECTIONS_PER_CPU * cpus, WARM_S)
            wait_until_idle(service.pid)
            before_s = read_thread_cpu_s(service.pid)
            load = drive(service, forms, CONNECTIONS_PER_CPU * cpus, chosen.duration_s)
            busy = count_busy(before_s, read_thread_cpu_s(service.pid))
            wait_until_idle(service.pid)
            idle_before_s = read_cpu_s(service.pid)
            time.sleep(chosen.idle_s)
            idle_s = (read_cpu_s(service.pid) - idle_before_s) / chosen.idle_s
    except (LimitUnavailableError, ServiceFailedError, LoadToolError) as error:
        return row | {"absent": str(error)}
    return row | {
        "cpus_used": load.cpus_used,
        "busy_threads": busy,
        "throughput_per_s": load.throughput_per_s,
        "p50_ms": load.p50_ms,
        "failed": load.failed,
        "idle_cpu_s_per_s": idle_s,
    }


def count_busy(before_s: Mapping[int, float], after_s: Mapping[int, float]) -> int:
    """Return how many threads did at least `BUSY_THREAD_SHARE` of the work between two samples."""
    spent_s = {thread: used - before_s.get(thread, 0.0) for thread, used in after_s.items()}
    least_s = BUSY_THREAD_SHARE * sum(spent_s.values())
    return sum(each > least_s for each in spent_s.values())


def judge(rows: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """Compare each limit with the targets for use under load and for idle use."""
    verdicts = []
    for row in rows:
        subject = f"{row['cpus']} by {row['limit']}"
        if row["absent"]:
            verdicts.append(Verdict(USED, f"{subject}: {row['absent']}", None))
            continue
        share = row["cpus_used"] / row["cpus"]
        verdicts += [Verdict(USED, subject, share), Verdict(NO_MORE, subject, share)]
        verdicts.append(Verdict(IDLE, subject, row["idle_cpu_s_per_s"]))
    return verdicts


def to_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--duration-s", type=int, default=10, help="duration of the load")
    parser.add_argument("--idle-s", type=float, default=10.0, help="duration of the idle phase")
    add_load_options(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report, print the verdicts; return the exit status."""
    chosen = to_parser().parse_args(arguments)
    source, pictures = load_pictures(chosen.data)
    cases = [(limit, cpus) for limit in LIMITS for cpus in CPU_COUNTS]
    rows = [measure_limited(*case, pictures, chosen) for case in tqdm(cases, unit="limit")]
    verdicts = judge(rows)
    report = {
        "schema_version": SCHEMA_VERSION,
        "command": COMMAND,
        "date": to_timestamp(),
        "machine": describe_machine(),
        "model": to_model_facts(load_manifest(chosen.model)),
        "pictures": source,
        "connections_per_cpu": CONNECTIONS_PER_CPU,
        "limits": rows,
        "verdicts": [verdict.to_facts() for verdict in verdicts],
    }
    write_report(chosen.out / "limits.json", report)
    print("\n".join(f"- {verdict.to_line()}" for verdict in verdicts))
    return to_exit_status(verdicts)


if __name__ == "__main__":
    sys.exit(main())
