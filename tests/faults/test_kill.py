import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.service_process import start_service
from headcirc.client import HeadcircClient, RetryPolicy
from headcirc.pipeline import SHIPPED_MODEL_DIR
from tests.service.redis_server import RedisServer

CONTENT = Path("examples/phantom.png").read_bytes()
ROUNDS, CLIENTS = 12, 4
PATIENT = RetryPolicy(most_attempts=200, deadline_s=300, longest_wait_s=0.5)


def measure_all(url: str, first_size_mm: float, progress: threading.Semaphore) -> list[float]:
    """Measure one phantom at many pixel sizes; return the circumferences in pixels."""
    found_px = []
    with HeadcircClient(url, retries=PATIENT) as client:
        for number in range(ROUNDS):
            size_mm = first_size_mm + number / 1000
            head = client.analyze(CONTENT, pixel_size_mm=size_mm).head
            assert head.head_circumference_mm == pytest.approx(head.head_circumference_px * size_mm)
            found_px.append(head.head_circumference_px)
            progress.release()
    return found_px


def run_clients(url: str, disturb) -> list[float]:
    """Let clients measure side by side; disturb them once a third is done."""
    progress = threading.Semaphore(0)
    with ThreadPoolExecutor(CLIENTS) as executor:
        sizes_mm = [0.1 + each / 10 for each in range(CLIENTS)]
        running = [executor.submit(measure_all, url, each, progress) for each in sizes_mm]
        for _ in range(ROUNDS * CLIENTS // 3):
            assert progress.acquire(timeout=PATIENT.deadline_s)
        disturb()
        return [px for each in running for px in each.result()]


@pytest.mark.slow
def test_killed_service_costs_only_time(record):
    """Kill -9 under load and a new start: every client gets every answer, and the right ones."""
    ready_s = []
    with ExitStack() as services:
        first = services.enter_context(start_service(SHIPPED_MODEL_DIR))

        def kill_and_restart() -> None:
            os.kill(first.pid, signal.SIGKILL)
            again = start_service(SHIPPED_MODEL_DIR, port=first.port)
            ready_s.append(services.enter_context(again).ready_s)

        found_px = run_clients(first.url, kill_and_restart)
    assert len(found_px) == ROUNDS * CLIENTS
    assert len(set(found_px)) == 1
    record("kill", clients=CLIENTS, answers=len(found_px), ready_again_s=round(ready_s[0], 2))


@pytest.mark.slow
def test_killed_redis_costs_no_answer(record, tmp_path):
    """Under load the store dies and comes back empty: every measurement is answered."""
    redis = RedisServer(tmp_path)
    redis.start()
    try:
        with start_service(SHIPPED_MODEL_DIR, store_url=redis.url) as service:

            def kill_and_restart() -> None:
                redis.kill()
                time.sleep(2)
                redis.start()

            found_px = run_clients(service.url, kill_and_restart)
            with HeadcircClient(service.url, retries=PATIENT) as client:
                kept = client.analyze(CONTENT, pixel_size_mm=1.0)
                assert client.read_analysis(kept.id) == kept
    finally:
        redis.kill()
    assert len(found_px) == ROUNDS * CLIENTS
    assert len(set(found_px)) == 1
    record("redis_killed", clients=CLIENTS, answers=len(found_px), failed=0)
