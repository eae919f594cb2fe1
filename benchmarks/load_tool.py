"""Closed-loop load from wrk, and what it cost the service and wrk itself.

wrk is Debian's package of that name (`make system-deps`): one epoll loop in C, so that it takes
little of the CPUs that it shares with the service; a script lets it post several images.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

from harness.documents import write_report
from harness.paths import DEFAULT_DATA_DIR, SPEED_RESULTS_DIR
from harness.pictures import CONTENT_TYPE, ROUTE, Picture, to_multipart
from harness.processes import read_cpu_s
from harness.service_process import RunningService, ServiceFailedError
from headcirc.pipeline import SHIPPED_MODEL_DIR

TOOL = "wrk"
SCRIPT = Path(__file__).with_name("throughput.lua")
TIMEOUT_S = 60
GRACE_S = 120.0
IDLE_TIMEOUT_S = 60.0
IDLE_LOOK_S = 1.0
BUSY_SHARE = 0.02
"""Share of a CPU above which a service is at work; at rest it takes a tenth of this."""


class LoadToolError(Exception):
    """The load tool is not here, or did not do its work."""


@dataclass(frozen=True)
class Load:
    """One concurrency, held for a while.

    Attributes
    ----------
    concurrency : int
        Connections, each with one request under way at any time.
    answers, failed : int
        Whole answers; of them, and besides them, those that were no success.
    duration_s, p50_ms, p95_ms, p99_ms, most_ms : float
    service_cpu_s, tool_cpu_s : float
    """

    concurrency: int
    answers: int
    failed: int
    duration_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    most_ms: float
    service_cpu_s: float
    tool_cpu_s: float

    @property
    def throughput_per_s(self) -> float:
        """Return answers a second."""
        return self.answers / self.duration_s

    @property
    def service_cpu_s_per_request(self) -> float | None:
        """Return what one answer cost the service, None without an answer."""
        return self.service_cpu_s / self.answers if self.answers else None

    @property
    def cpus_used(self) -> float:
        """Return how many CPUs the service kept busy."""
        return self.service_cpu_s / self.duration_s


def add_load_options(parser: argparse.ArgumentParser) -> None:
    """Describe what every load asks: of which service, with which pictures, and where to."""
    parser.add_argument("--model", type=Path, default=SHIPPED_MODEL_DIR, help="model folder")
    parser.add_argument("--backend", default="auto", help="of the service")
    parser.add_argument("--precision", default="auto", help="of the service")
    parser.add_argument("--data", type=Path, default=Path(DEFAULT_DATA_DIR), help="HC18's folder")
    parser.add_argument(
        "--out", type=Path, default=SPEED_RESULTS_DIR, help="folder for the results"
    )


def to_service_settings(chosen: argparse.Namespace) -> dict[str, str]:
    """Return those options as settings of a service that keeps no result, or it would repeat it."""
    return {"backend": chosen.backend, "precision": chosen.precision, "result_ttl_s": "0"}


def require_load_tool() -> str:
    """Return the load tool's path, or raise LoadToolError."""
    path = which(TOOL)
    if path is None:
        raise LoadToolError(f"{TOOL} is not installed; Debian has it: make system-deps")
    return path


@contextmanager
def write_forms(pictures: Sequence[Picture]) -> Iterator[Path]:
    """Write the bodies that the load tool posts into a folder that goes away afterwards."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, picture in enumerate(pictures, 1):
            (folder / f"{number}.form").write_bytes(to_multipart(picture))
        yield folder


def drive(service: RunningService, forms: Path, concurrency: int, duration_s: int) -> Load:
    """Keep a service under load and return what came of it.

    Raises
    ------
    LoadToolError
        wrk ended badly; the message has what it said.
    """
    service_before_s, tool_before_s = read_cpu_s(service.pid), _read_children_cpu_s()
    said = run_tool(SCRIPT, service, forms, concurrency=concurrency, duration_s=duration_s)
    service_cpu_s = read_cpu_s(service.pid) - service_before_s
    tool_cpu_s = _read_children_cpu_s() - tool_before_s
    return Load(concurrency=concurrency, service_cpu_s=service_cpu_s, tool_cpu_s=tool_cpu_s, **said)


def run_tool(
    script: Path, service: RunningService, forms: Path, *, concurrency: int, duration_s: int
) -> dict[str, Any]:
    """Run wrk with a script beside this file and return the summary that the script writes.

    Raises
    ------
    LoadToolError
        wrk ended badly, and the message has what it said, or not at all.
    """
    count = len(list(forms.iterdir()))
    command = [require_load_tool(), "--threads", "1", "--connections", str(concurrency)]
    command += ["--duration", f"{duration_s}s", "--timeout", f"{TIMEOUT_S}s"]
    command += ["--script", str(script), service.url, "--"]
    command += [str(forms), str(count), ROUTE, CONTENT_TYPE, str(concurrency)]
    limit_s = duration_s + GRACE_S
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=limit_s
        )
    except subprocess.TimeoutExpired as error:
        raise LoadToolError(f"{TOOL} had not ended after {limit_s:g} s") from error
    if ended.returncode:
        raise LoadToolError(f"{TOOL} ended with {ended.returncode}: {ended.stdout}{ended.stderr}")
    return parse_summary(ended.stdout)


def report_load(
    measure: Callable[[argparse.Namespace], dict[str, Any]], chosen: argparse.Namespace, name: str
) -> dict[str, Any] | None:
    """Measure and write the report; None, and a line that says why, where that is not possible.

    Parameters
    ----------
    measure : callable
        The options to the report.
    chosen : Namespace
        With those of `add_load_options`.
    name : str
        Of the report's file.
    """
    try:
        require_load_tool()
        report = measure(chosen)
    except (LoadToolError, ServiceFailedError) as error:
        print(f"not measured: {error}", file=sys.stderr)
        return None
    write_report(chosen.out / name, report)
    return report


def wait_until_idle(pid: int) -> None:
    """Wait until a service has done what an ended load left behind, or IDLE_TIMEOUT_S."""
    deadline_s = time.monotonic() + IDLE_TIMEOUT_S
    while time.monotonic() < deadline_s:
        before_s = read_cpu_s(pid)
        time.sleep(IDLE_LOOK_S)
        if read_cpu_s(pid) - before_s < IDLE_LOOK_S * BUSY_SHARE:
            return


def parse_summary(output: str) -> dict[str, Any]:
    """Return the line of JSON among wrk's own words.

    Raises
    ------
    LoadToolError
        There is none.
    """
    for line in output.splitlines():
        if line.startswith("{"):
            summary: dict[str, Any] = json.loads(line)
            return summary
    raise LoadToolError(f"{TOOL} gave no summary; it said: {output}")


def _read_children_cpu_s() -> float:
    """Return the CPU seconds of children that have ended; a running service is not among them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
