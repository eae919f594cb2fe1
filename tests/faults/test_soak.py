import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.reliability import ALLOWED_GROWTH
from harness.processes import read_memory_mb
from harness.service_process import RunningService, start_service
from headcirc.client import HeadcircClient, ProblemError
from headcirc.cpus import count_available_cpus
from headcirc.pipeline import SHIPPED_MODEL_DIR

SOAK_S = float(os.environ.get("SOAK_S", "1200"))  # noqa: TID251 - length of a test, not a setting
SETTLED_S = 60.0
INTERVAL_S = 5.0
PAUSE_S = 0.2
CLIENTS = count_available_cpus()
"""Number of the service's measuring threads, so that all of them start within the first minute;
each thread keeps about 11 MB."""
CONTENT = Path("examples/phantom.png").read_bytes()
STORE_BYTES = "10000000"
"""Size of the result store; it is full within the first minute and does not grow afterwards."""


def use_once(client: HeadcircClient, number: int) -> int:
    """Measure, read the result, and send invalid files; return the number of requests."""
    analysis = client.analyze(CONTENT, pixel_size_mm=0.05 + number % 1000 / 1000)
    assert analysis.head is not None
    assert client.read_overlay(analysis.id)
    assert client.read_mask(analysis.id)
    for broken in (b"no picture", CONTENT[: 500 + number % 20_000]):
        with pytest.raises(ProblemError):
            client.analyze(broken)
    return 5


def sample(service: RunningService) -> tuple[float, int]:
    """Return the service's memory in MB and its number of open files."""
    return read_memory_mb(service.pid), len(os.listdir(f"/proc/{service.pid}/fd"))


def use_until(service: RunningService, client_number: int, until_s: float) -> int:
    """Use the service until a time, with a new client each time; return the number of requests."""
    requests, number = 0, client_number
    while time.monotonic() < until_s:
        with HeadcircClient(service.url) as client:
            requests += use_once(client, number)
        number += CLIENTS
        time.sleep(PAUSE_S)
    return requests


@pytest.mark.slow
def test_memory_and_open_files_stay_flat(record):
    """Under steady use for SOAK_S, memory and open files do not grow after the first minute."""
    samples = []
    with (
        start_service(SHIPPED_MODEL_DIR, store_max_bytes=STORE_BYTES) as service,
        ThreadPoolExecutor(CLIENTS) as clients,
    ):
        began_s = time.monotonic()
        running = [
            clients.submit(use_until, service, number, began_s + SOAK_S)
            for number in range(CLIENTS)
        ]
        while not all(each.done() for each in running):
            if time.monotonic() - began_s >= SETTLED_S + INTERVAL_S * len(samples):
                samples.append(sample(service))
            time.sleep(PAUSE_S)
        samples.append(sample(service))
        requests = sum(each.result() for each in running)
    memory_mb, open_files = zip(*samples, strict=True)
    growth = max(memory_mb) / memory_mb[0] - 1
    figures = {"duration_s": SOAK_S, "requests": requests, "memory_growth": round(growth, 4)}
    record(
        "soak", **figures, memory_mb=[round(each, 1) for each in (memory_mb[0], memory_mb[-1])],
        open_files=[min(open_files), max(open_files)],
    )  # fmt: skip
    assert growth < ALLOWED_GROWTH
    assert max(open_files) <= open_files[0] + 2 * CLIENTS
