import asyncio
import re
from collections import Counter

import pytest

from harness.service_process import RunningService, start_service
from headcirc.client import AsyncHeadcircClient
from headcirc.pipeline import SHIPPED_MODEL_DIR
from tests.service.http.test_problems import CONTENT
from tests.support.raw_http import BOUNDARY, to_form

CROWD = 500
MOST_ROUNDS = 400
RETRY_AFTER = re.compile(rb"\r\nretry-after: (\d+)\r\n", re.IGNORECASE)


def to_request(number: int) -> bytes:
    """Return a request with a pixel size of its own, so that each client needs an inference."""
    form = to_form(CONTENT, pixel_size_mm=f"{0.05 + number / 10_000:.4f}")
    head = (
        "POST /v1/analyses HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(form)}\r\n\r\n"
    )
    return head.encode() + form


async def ask_until_answered(service: RunningService, number: int, seen: Counter[int]) -> None:
    """Send a request, and again after Retry-After, until it is answered."""
    request = to_request(number)
    for _ in range(MOST_ROUNDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(request)
        answer = await reader.read(-1)
        writer.close()
        await writer.wait_closed()
        status = int(answer[9:12])
        seen[status] += 1
        if status != 429:
            return
        await asyncio.sleep(int(RETRY_AFTER.search(answer)[1]))
    raise AssertionError("a client was never accepted")


async def crowd_in(service: RunningService, clients: int) -> tuple[Counter[int], int]:
    """Start all clients at the same time; return the statuses and the number of answered probes."""
    seen: Counter[int] = Counter()
    asking = asyncio.gather(*(ask_until_answered(service, i, seen) for i in range(clients)))
    probes = 0
    async with AsyncHeadcircClient(service.url) as client:
        while not asking.done():
            (model,) = await client.list_models()
            probes += bool(model.sha256)
            await asyncio.sleep(0.25)
    await asking
    return seen, probes


@pytest.mark.parametrize("clients", [60, pytest.param(CROWD, marks=pytest.mark.slow)])
def test_crowd_is_answered_or_told_when_to_come_back(record, clients):
    """Every client gets an answer; until then it gets only 429 with Retry-After."""
    with start_service(SHIPPED_MODEL_DIR, queue_capacity="8") as service:
        seen, probes = asyncio.run(crowd_in(service, clients))
    assert set(seen) <= {201, 429}
    assert seen[201] == clients
    assert seen[429] > 0 < probes
    if clients == CROWD:
        record("crowd", clients=clients, answered=seen[201], told_to_come_back=seen[429])
