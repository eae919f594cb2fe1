"""Put the service under closed-loop load with wrk and measure the CPU time.

wrk is a Debian package (`make system-deps`). It is one epoll loop in C, so it takes little of the
CPUs that it shares with the service. A Lua script makes it post several images.
"""

import argparse
import json
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
from harness.options import add_folder_options, add_model_option
from harness.paths import SPEED_RESULTS_DIR
from harness.pictures import CONTENT_TYPE, ROUTE, Picture, to_multipart
from harness.processes import read_children_cpu_s, read_cpu_s
from harness.service_process import RunningService, ServiceFailedError
from headcirc.pipeline import SHIPPED_MODEL_DIR

TOOL = "wrk"
SCRIPT = Path(__file__).with_name("throughput.lua")
TIMEOUT_S = 60
GRACE_S = 120.0
IDLE_TIMEOUT_S = 60.0
IDLE_SAMPLE_S = 1.0
BUSY_SHARE = 0.02
"""Share of a CPU above which a service is busy; an idle service takes a tenth of this."""


class LoadToolError(Exception):
    """The load tool is not installed, or it failed."""


@dataclass(frozen=True)
class Load:
    """The results of a load with one concurrency.

    Attributes
    ----------
    concurrency : int
        Number of connections, each with one request at a time.
    answers, failed : int
        Number of complete answers; number of error answers and broken connections.
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
        """Return the number of answers per second."""
        return self.answers / self.duration_s

    @property
    def service_cpu_s_per_request(self) -> float | None:
        """Return the service's CPU seconds per answer; None without an answer."""
        return self.service_cpu_s / self.answers if self.answers else None

    @property
    def cpus_used(self) -> float:
        """Return the mean number of CPUs that the service kept busy."""
        return self.service_cpu_s / self.duration_s


def add_load_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all load benchmarks share: model, backend, pictures and results."""
    add_model_option(parser, SHIPPED_MODEL_DIR)
    parser.add_argument("--backend", default="auto", help="backend of the service")
    parser.add_argument("--precision", default="auto", help="precision of the service")
    add_folder_options(parser, SPEED_RESULTS_DIR)


def to_service_settings(chosen: argparse.Namespace) -> dict[str, str]:
    """Return the options as settings of a service that stores no results."""
    return {"backend": chosen.backend, "precision": chosen.precision, "result_ttl_s": "0"}


def require_load_tool() -> str:
    """Return the path of the load tool; raise LoadToolError if it is not installed."""
    path = which(TOOL)
    if path is None:
        raise LoadToolError(f"{TOOL} is not installed. Install Debian's package: make system-deps")
    return path


@contextmanager
def write_forms(pictures: Sequence[Picture]) -> Iterator[Path]:
    """Write the request bodies for the load tool into a temporary folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, picture in enumerate(pictures, 1):
            (folder / f"{number}.form").write_bytes(to_multipart(picture))
        yield folder


def drive(service: RunningService, forms: Path, concurrency: int, duration_s: int) -> Load:
    """Put a service under load and return the results.

    Raises
    ------
    LoadToolError
        wrk failed; the message has its output.
    """
    service_before_s, tool_before_s = read_cpu_s(service.pid), read_children_cpu_s()
    summary = run_tool(SCRIPT, service, forms, concurrency=concurrency, duration_s=duration_s)
    cpu_s = {
        "service_cpu_s": read_cpu_s(service.pid) - service_before_s,
        "tool_cpu_s": read_children_cpu_s() - tool_before_s,
    }
    return Load(concurrency=concurrency, **cpu_s, **summary)


def run_tool(
    script: Path, service: RunningService, forms: Path, *, concurrency: int, duration_s: int
) -> dict[str, Any]:
    """Run wrk with a Lua script and return the summary that the script prints.

    Raises
    ------
    LoadToolError
        wrk failed or did not end; the message has its output.
    """
    count = len(list(forms.iterdir()))
    command = [require_load_tool(), "--threads", "1", "--connections", str(concurrency)]
    command += ["--duration", f"{duration_s}s", "--timeout", f"{TIMEOUT_S}s"]
    command += ["--script", str(script), service.url, "--"]
    command += [str(forms), str(count), ROUTE, CONTENT_TYPE, str(concurrency)]
    limit_s = duration_s + GRACE_S
    try:
        finished = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=limit_s
        )
    except subprocess.TimeoutExpired as error:
        raise LoadToolError(f"{TOOL} had not ended after {limit_s:g} s") from error
    if finished.returncode:
        output = finished.stdout + finished.stderr
        raise LoadToolError(f"{TOOL} ended with status {finished.returncode}: {output}")
    return parse_summary(finished.stdout)


def report_load(
    measure: Callable[[argparse.Namespace], dict[str, Any]], chosen: argparse.Namespace, name: str
) -> dict[str, Any] | None:
    """Measure and write the report; if that fails, print the reason and return None.

    Parameters
    ----------
    measure : callable
        Returns the report for the options.
    chosen : Namespace
        The options of `add_load_options`, and others.
    name : str
        Name of the report's file.
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
    """Wait until a service has finished the work of a load, at most IDLE_TIMEOUT_S."""
    deadline_s = time.monotonic() + IDLE_TIMEOUT_S
    while time.monotonic() < deadline_s:
        before_s = read_cpu_s(pid)
        time.sleep(IDLE_SAMPLE_S)
        if read_cpu_s(pid) - before_s < IDLE_SAMPLE_S * BUSY_SHARE:
            return


def parse_summary(output: str) -> dict[str, Any]:
    """Return the line of JSON in wrk's output.

    Raises
    ------
    LoadToolError
        There is no such line.
    """
    for line in output.splitlines():
        if line.startswith("{"):
            summary: dict[str, Any] = json.loads(line)
            return summary
    raise LoadToolError(f"{TOOL} printed no summary. Its output: {output}")
