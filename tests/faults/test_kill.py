import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.service_process import start_service
from headcirc.client import ClientError, HeadcircClient, RetryPolicy
from headcirc.pipeline import SHIPPED_MODEL_DIR
from tests.support.redis_server import run_redis

CONTENT = Path("examples/phantom.png").read_bytes()
ROUNDS, CLIENTS = 12, 4
PATIENT = RetryPolicy(most_attempts=200, deadline_s=300, longest_wait_s=0.5)


def measure_all(
    url: str, first_size_mm: float, progress: threading.Semaphore
) -> list[float | None]:
    """Measure a phantom at many pixel sizes; return circumferences in pixels, None for failures."""
    found_px: list[float | None] = []
    with HeadcircClient(url, retries=PATIENT) as client:
        for number in range(ROUNDS):
            size_mm = first_size_mm + number / 1000
            try:
                head = client.analyze(CONTENT, pixel_size_mm=size_mm).head
            except ClientError:
                found_px.append(None)
            else:
                expected_mm = pytest.approx(head.head_circumference_px * size_mm)
                assert head.head_circumference_mm == expected_mm
                found_px.append(head.head_circumference_px)
            progress.release()
    return found_px


def run_clients(url: str, disturb) -> dict[str, int]:
    """Run clients in parallel, disturb them after a third of the work, and count the answers."""
    progress = threading.Semaphore(0)
    with ThreadPoolExecutor(CLIENTS) as executor:
        sizes_mm = [0.1 + each / 10 for each in range(CLIENTS)]
        running = [executor.submit(measure_all, url, each, progress) for each in sizes_mm]
        for _ in range(ROUNDS * CLIENTS // 3):
            assert progress.acquire(timeout=PATIENT.deadline_s)
        disturb()
        found_px = [px for each in running for px in each.result()]
    answers_px = [px for px in found_px if px is not None]
    assert len(set(answers_px)) == 1
    asked, answers = len(found_px), len(answers_px)
    return {"clients": CLIENTS, "asked": asked, "answers": answers, "failed": asked - answers}


@pytest.mark.slow
def test_killed_service_costs_only_time(record):
    """After `kill -9` under load and a restart, every client gets all answers, and correct ones."""
    ready_s = []
    with ExitStack() as services:
        first = services.enter_context(start_service(SHIPPED_MODEL_DIR))

        def kill_and_restart() -> None:
            os.kill(first.pid, signal.SIGKILL)
            again = start_service(SHIPPED_MODEL_DIR, port=first.port)
            ready_s.append(services.enter_context(again).ready_s)

        counts = run_clients(first.url, kill_and_restart)
    assert (counts["answers"], counts["failed"]) == (ROUNDS * CLIENTS, 0)
    record("kill", **counts, ready_again_s=round(ready_s[0], 2))


@pytest.mark.slow
def test_killed_redis_costs_no_answer(record, tmp_path):
    """Redis is killed under load and restarts empty; every measurement is answered."""
    with (
        run_redis(tmp_path) as redis,
        start_service(SHIPPED_MODEL_DIR, store_url=redis.url) as service,
    ):

        def kill_and_restart() -> None:
            redis.kill()
            time.sleep(2)
            redis.start()

        counts = run_clients(service.url, kill_and_restart)
        with HeadcircClient(service.url, retries=PATIENT) as client:
            kept = client.analyze(CONTENT, pixel_size_mm=1.0)
            assert client.read_analysis(kept.id) == kept
    assert (counts["answers"], counts["failed"]) == (ROUNDS * CLIENTS, 0)
    record("redis_killed", **counts)
