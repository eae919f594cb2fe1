"""The service within the limits of a container: `python -m benchmarks.limits`.

With 1, 2 and 4 CPUs, given once by affinity and once by a control group's quota, the service is
put under more load than it can serve: it should use what it has and no more, and next to nothing
when it is idle. Exit status 0: so it is; 1: it is not; 3: some limit could not be set here.
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
USED = Target("cpu", "CPUs used under load, of those given", 0.8, "of them", is_floor=True)
NO_MORE = Target("cpu", "CPUs used under load, of those given", 1.05, "of them")
IDLE = Target("cpu", "CPU use without a request", 0.01, "CPUs")


class LimitUnavailableError(Exception):
    """The limit cannot be set here; the message says why."""


@contextmanager
def affinity(cpus: int) -> Iterator[Confinement]:
    """Give what is started inside the confinement so many CPUs to run on.

    Children inherit the affinity of the thread that starts them.
    """
    own = os.sched_getaffinity(0)
    if cpus > len(own):
        raise LimitUnavailableError(f"here are {len(own)} CPUs")

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
    """Give what is started inside the confinement so many CPUs of time, in a group of its own."""
    here = len(os.sched_getaffinity(0))
    if cpus > here:
        raise LimitUnavailableError(f"here are {here} CPUs")
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
    """Return what a limited service used, under load and idle; or why that was not measured."""
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
    """Return how many threads did a notable share of the work between two looks."""
    spent_s = {thread: used - before_s.get(thread, 0.0) for thread, used in after_s.items()}
    least_s = BUSY_THREAD_SHARE * sum(spent_s.values())
    return sum(each > least_s for each in spent_s.values())


def judge(rows: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """Judge each limit: the CPUs are used, no more than they are, and idle means idle."""
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
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--duration-s", type=int, default=10, help="of the load")
    parser.add_argument("--idle-s", type=float, default=10.0, help="of the rest after it")
    add_load_options(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write, print; return the exit status."""
    chosen = to_parser().parse_args(arguments)
    words, pictures = load_pictures(chosen.data)
    cases = [(limit, cpus) for limit in LIMITS for cpus in CPU_COUNTS]
    rows = [measure_limited(*case, pictures, chosen) for case in tqdm(cases, unit="limit")]
    verdicts = judge(rows)
    report = {
        "schema_version": SCHEMA_VERSION,
        "command": COMMAND,
        "date": to_timestamp(),
        "machine": describe_machine(),
        "model": to_model_facts(load_manifest(chosen.model)),
        "pictures": words,
        "connections_per_cpu": CONNECTIONS_PER_CPU,
        "limits": rows,
        "verdicts": [verdict.to_facts() for verdict in verdicts],
    }
    write_report(chosen.out / "limits.json", report)
    print("\n".join(f"- {verdict.to_line()}" for verdict in verdicts))
    return to_exit_status(verdicts)


if __name__ == "__main__":
    sys.exit(main())
