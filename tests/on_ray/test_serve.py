"""The service on Ray, as `python -m deploy.ray.serve` starts it, beside the plain one."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from harness.service_process import start_service
from headcirc.client import HeadcircClient
from headcirc.pipeline import SHIPPED_MODEL_DIR
from tests.faults.test_kill import CLIENTS, PATIENT, ROUNDS, run_clients
from tests.on_ray.conftest import PHANTOM, WAIT_S, find_named, is_named
from tests.support.redis_server import run_redis
from tests.support.synthetic import to_file

pytestmark = pytest.mark.slow
"""Starting the service on Ray takes more than a minute."""
PROGRAM = ("deploy.ray.serve", "--cpus", "1")
QUEUE_CAPACITY = 3
REPLICA = b"ray::ServeReplica:headcirc"
CHANGING = ("created", "expires", "timing_ms", "request_id")
WRITTEN_ONLY = "correction"
"""The link that answers PUT and DELETE, not GET."""
COMPARED_HEADERS = (
    "content-type", "location", "retry-after", "cache-control", "content-security-policy",
    "x-content-type-options", "referrer-policy", "www-authenticate", "allow",
)  # fmt: skip
PHANTOM_FORM = {"files": {"image": PHANTOM.read_bytes()}}
SIZE = {"pixel_size_mm": "0.1277"}
BLACK = {"files": {"image": to_file(np.zeros((540, 800), np.uint8))}}
QUESTIONS = [
    ("POST", "/v1/analyses", PHANTOM_FORM | {"data": SIZE}),
    ("POST", "/v1/analyses", PHANTOM_FORM | {"data": SIZE}),  # the same again: 200
    ("POST", "/v1/analyses", PHANTOM_FORM),
    ("POST", "/v1/analyses", BLACK),
    ("POST", "/v1/head-circumference", PHANTOM_FORM | {"data": SIZE}),
    ("POST", "/v1/head-circumference", PHANTOM_FORM),
    ("POST", "/v1/head-circumference", PHANTOM_FORM | {"data": {"pixel_size_mm": "9"}}),
    ("POST", "/v1/head-circumference", {"files": {"image": b"no picture"}}),
    ("POST", "/v1/head-circumference", {"data": SIZE}),
    ("POST", "/v1/mask", PHANTOM_FORM | {"headers": {"Accept": "image/png"}}),
    ("POST", "/v1/mask", PHANTOM_FORM | {"headers": {"Accept": "text/html"}}),
    ("POST", "/v1/mask", BLACK),
    ("POST", "/v1/analyses", {"content": bytes(10_000_001)}),
    ("GET", "/v1/analyses/none", {}),
    ("GET", "/v1/models", {}),
    ("DELETE", "/v1/models", {}),
    ("GET", "/nowhere", {}),
    ("GET", "/livez", {}),
    ("GET", "/readyz", {}),
    ("GET", "/", {}),
]


@pytest.fixture(scope="module")
def plain():
    """Run the plain service."""
    with start_service(SHIPPED_MODEL_DIR, threads="1") as service:
        yield service.url


@pytest.fixture(scope="module")
def ray_service():
    """Run the service on Ray: one replica, with little room."""
    settings = {"threads": "1", "queue_capacity": str(QUEUE_CAPACITY)}
    with start_service(
        SHIPPED_MODEL_DIR, program=PROGRAM, patience_s=WAIT_S, **settings
    ) as service:
        yield service.url


def ask(url: str, method: str, path: str, options: dict[str, object]) -> httpx.Response:
    return httpx.request(method, url + path, timeout=60, **options)


def to_facts(answer: httpx.Response) -> dict[str, object]:
    """Return what must be the same of two answers to one question."""
    body: object = answer.content
    if "json" in answer.headers["content-type"]:
        body = {key: value for key, value in answer.json().items() if key not in CHANGING}
    headers = {name: answer.headers.get(name) for name in COMPARED_HEADERS}
    return {"status": answer.status_code, "headers": headers, "body": body}


def test_answers_are_those_of_the_plain_service(plain, ray_service):
    """Same ids, same millimetres, same pictures, same problem documents, same headers."""
    for question in QUESTIONS:
        expected, found = ask(plain, *question), ask(ray_service, *question)
        assert to_facts(found) == to_facts(expected), question[:2]
        assert len(found.headers.get_list("x-request-id")) == 1


def test_kept_results_are_those_of_the_plain_service(plain, ray_service):
    """What a result's links lead to is the same, pixel by pixel."""
    first = ask(plain, *QUESTIONS[0]).json()
    ask(ray_service, *QUESTIONS[0])
    links = {name: link for name, link in first["links"].items() if name != WRITTEN_ONLY}
    for name, link in links.items():
        expected, found = ask(plain, "GET", link, {}), ask(ray_service, "GET", link, {})
        assert to_facts(found) == to_facts(expected), name
        assert expected.status_code == 200


def test_request_id_is_returned_once(ray_service):
    """A caller's id comes back as it is, one that could hold anything does not."""
    for sent, is_taken in (("abc-1", True), ("a b<c", False)):
        answer = ask(ray_service, "GET", "/nowhere", {"headers": {"X-Request-ID": sent}})
        (returned,) = answer.headers.get_list("x-request-id")
        assert (returned == sent) is is_taken
        assert returned == answer.json()["request_id"]


def test_overload_is_refused_as_the_plain_service_does(ray_service):
    """More at once than there is room for: every answer is a measurement or a 429 to come back."""
    question = ("POST", "/v1/head-circumference", PHANTOM_FORM | {"data": SIZE | {"frame": "0"}})
    with ThreadPoolExecutor(24) as executor:
        answers = list(executor.map(lambda _: ask(ray_service, *question), range(72)))
    refused = [each for each in answers if each.status_code != 200]
    assert refused and len(refused) < len(answers)
    for each in refused:
        assert (each.status_code, each.headers["retry-after"]) == (429, "1")
        assert each.json()["code"] == "overloaded"


def test_metrics_are_of_one_replica(ray_service):
    """A scrape through the proxy answers with the registry of whichever replica got it."""
    assert "headcirc_requests_in_flight" in ask(ray_service, "GET", "/metrics", {}).text


def test_killed_replica_loses_no_answer(tmp_path):
    """Kill -9 of one of two: clients get all answers, links meet both, and SIGTERM ends it well."""
    with (
        run_redis(tmp_path) as redis,
        start_service(
            SHIPPED_MODEL_DIR,
            program=(*PROGRAM, "--min-replicas", "2", "--max-replicas", "2"),
            patience_s=WAIT_S,
            store_url=redis.url,
        ) as service,
    ):
        before = find_named(service.pid, REPLICA)
        assert len(before) == 2
        counts = run_clients(service.url, lambda: os.kill(before[0], signal.SIGKILL))
        assert not Path(f"/proc/{before[0]}").exists()
        with HeadcircClient(service.url, retries=PATIENT) as client:
            kept = client.analyze(PHANTOM.read_bytes(), pixel_size_mm=1.0)
            assert all(client.read_analysis(kept.id) == kept for _ in range(20))
        last = find_named(service.pid, REPLICA)
        assert last and before[0] not in last
        os.kill(service.pid, signal.SIGTERM)
        ended = os.waitid(os.P_PID, service.pid, os.WEXITED | os.WNOWAIT)
        assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 0)
        assert not any(is_named(each, REPLICA) for each in last)
    assert (counts["answers"], counts["failed"]) == (ROUNDS * CLIENTS, 0)
