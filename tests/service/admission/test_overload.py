import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import headcirc_service.admission.gate
import pytest
from headcirc_service.admission.workers import Workers
from headcirc_service.app import create_app
from headcirc_service.http.problems import RequestTimeoutError
from headcirc_service.measurer import QUICKLY_READ_BYTES
from headcirc_service.settings import Settings

from tests.support.raw_http import call, never, to_form, to_receive
from tests.support.synthetic import draw_head, to_file

CONTENT = to_file(draw_head())
PATIENCE_S = 10.0


class HeldNetwork:
    """The pipeline's network, held open until it may go on; counts what goes in."""

    def __init__(self, pipeline) -> None:
        self.entered, self.leave = threading.Event(), threading.Event()
        self.runs = 0
        self._infer = pipeline.backend.infer
        pipeline.backend.infer = self

    def __call__(self, network_input):
        self.runs += 1
        self.entered.set()
        assert self.leave.wait(PATIENCE_S)
        return self._infer(network_input)

    async def wait_until_entered(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, PATIENCE_S)


@pytest.fixture
def network(pipeline):
    held = HeldNetwork(pipeline)
    yield held
    held.leave.set()


def run(pipeline, scenario, **settings):
    """Run a scenario against a live application."""

    async def live():
        app = create_app(Settings(**settings), pipeline)
        async with app.router.lifespan_context(app):
            return await asyncio.wait_for(scenario(app), PATIENCE_S)

    return asyncio.run(live())


def post(app, pixel_size_mm, then=never):
    form = to_form(CONTENT, pixel_size_mm=pixel_size_mm)
    return asyncio.ensure_future(call(app, to_receive(form, then=then)))


def test_full_queue_is_told_from_the_headers(pipeline, network):
    """429 with Retry-After comes without one byte of the body being asked for."""

    async def refuse_to_send():
        raise AssertionError("the body was read")

    async def scenario(app):
        first = post(app, "0.1")
        await network.wait_until_entered()
        refused = await call(app, refuse_to_send)
        network.leave.set()
        return await first, refused

    first, refused = run(pipeline, scenario, queue_capacity=1)
    assert first.status == 201
    assert (refused.status, refused.json()["code"]) == (429, "overloaded")
    assert refused.headers["retry-after"] == "1"


def test_one_place_lets_one_in(pipeline, monkeypatch):
    """If many requests meet one free place, one body is read; the others are refused at once."""
    monkeypatch.setattr(
        headcirc_service.admission.gate, "FRESH_S", 60.0
    )  # however slow this machine is

    async def scenario(app):
        first = asyncio.ensure_future(call(app, never))
        await asyncio.sleep(0)
        refused = await call(app, never)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        return refused, await post(app, "0.1")

    refused, later = run(pipeline, scenario, queue_capacity=1)
    assert (refused.status, refused.json()["code"]) == (429, "overloaded")
    assert later.status == 201


def test_bodies_that_arrive_are_bounded_too(pipeline, monkeypatch):
    """Slow uploads hold no place of the queue but one of their own, and give it back."""
    monkeypatch.setattr(headcirc_service.admission.gate, "FRESH_S", 0.0)

    async def scenario(app):
        slow = [asyncio.ensure_future(call(app, never)) for _ in range(4)]
        await asyncio.sleep(0)
        refused = await call(app, never)
        for each in slow:
            each.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        return refused, await post(app, "0.1")

    refused, later = run(pipeline, scenario, queue_capacity=1)
    assert (refused.status, later.status) == (429, 201)


def test_client_that_leaves_while_waiting_costs_no_inference(pipeline, network):
    """Its place is free at once, and the network never sees its picture."""

    async def scenario(app):
        first = post(app, "0.1")
        await network.wait_until_entered()
        gone = asyncio.Event()

        async def disconnect():
            await gone.wait()
            return {"type": "http.disconnect"}

        second = post(app, "0.2", then=disconnect)
        third = post(app, "0.3", then=disconnect)
        while app.state.measurer.workers._depth < 3:
            await asyncio.sleep(0)
        gone.set()
        left = await second, await third
        network.leave.set()
        return await first, left, await post(app, "0.4")

    first, left, later = run(pipeline, scenario)
    assert (first.status, later.status) == (201, 201)
    assert [each.status for each in left] == [499, 499]
    assert network.runs == 2


def test_deadline_that_passes_while_waiting_costs_no_inference(pipeline, network):
    """Behind a network that hangs a request is 504 in time, and is not run afterwards."""

    async def scenario(app):
        first = post(app, "0.1")
        await network.wait_until_entered()
        late = await asyncio.gather(post(app, "0.2"), post(app, "0.3"))
        network.leave.set()
        await first
        while not app.state.measurer.workers.has_capacity:
            await asyncio.sleep(0)
        return late, await post(app, "0.4")

    late, later = run(pipeline, scenario, request_timeout_ms=1500)
    assert [(each.status, each.json()["code"]) for each in late] == [(504, "timeout")] * 2
    assert later.status == 201
    assert network.runs == 2


def test_queue_is_no_longer_than_can_be_answered_in_time(pipeline):
    """Where a piece of work takes a tenth of a request's time, five may wait, not a hundred."""

    async def scenario(app):
        workers = app.state.measurer.workers
        assert workers.capacity == 100
        for _ in range(50):
            await workers.run(lambda _: time.sleep(0.1))
        leave = threading.Event()
        taken = 0
        while workers.has_capacity:
            workers.submit(lambda _: leave.wait(PATIENCE_S))
            taken += 1
        refused = await call(app, never)
        leave.set()
        return taken, refused

    taken, refused = run(pipeline, scenario, queue_capacity=100, request_timeout_ms=1000)
    assert 2 <= taken <= 10
    assert refused.status == 429


def test_what_hung_once_keeps_few_out():
    """It counts as what a request may take, so that three are let in again."""

    async def scenario():
        workers = Workers(1, capacity=9, timeout_s=1.0, on_depth=lambda _: None)
        with pytest.raises(RequestTimeoutError):
            await workers.run(lambda _: time.sleep(2.0))
        while workers._depth:
            await asyncio.sleep(0.01)
        leave, taken = threading.Event(), 0
        while workers.has_capacity:
            workers.submit(lambda _: leave.wait(PATIENCE_S))
            taken += 1
        leave.set()
        await workers.close()
        return taken

    assert asyncio.run(scenario()) == 3


def test_body_that_does_not_arrive_in_time_is_told(pipeline):
    """A slow upload is 504, says how much came, and the next request is answered."""

    async def scenario(app):
        form = to_form(CONTENT)
        half = [form[:100], form[100:200]]

        async def stall():
            if half:
                return {"type": "http.request", "body": half.pop(0), "more_body": True}
            return await never()

        slow = await call(app, stall)
        return slow, await post(app, "0.1")

    slow, later = run(pipeline, scenario, upload_timeout_ms=50)
    assert (slow.status, slow.json()["code"]) == (504, "timeout")
    assert "200 bytes" in slow.json()["detail"]
    assert later.status == 201


def test_health_is_answered_while_every_thread_is_busy(pipeline, network):
    """Alive and ready do not wait behind measurements."""

    async def scenario(app):
        busy = [post(app, f"0.{i}") for i in range(1, 9)]
        await network.wait_until_entered()
        answers = []
        for path in ("/livez", "/readyz"):
            answers.append(await asyncio.wait_for(get(app, path), 1.0))
        network.leave.set()
        await asyncio.gather(*busy)
        return answers

    assert run(pipeline, scenario) == [200, 200]


def test_service_whose_every_thread_is_late_takes_nothing(pipeline, network):
    """It answers nobody in time, whatever room its queue has; it is ready again once one ends.

    Pictures that it took would be held until then, however many come.
    """

    async def scenario(app):
        late = await asyncio.gather(post(app, "0.1"), post(app, "0.2"))
        stuck, refused = await get(app, "/readyz"), await call(app, never)
        network.leave.set()
        while app.state.measurer.workers._depth:
            await asyncio.sleep(0)
        return [each.status for each in (*late, refused)], stuck, await get(app, "/readyz")

    assert run(pipeline, scenario, request_timeout_ms=500) == ([504, 504, 429], 503, 200)


def test_large_picture_does_not_wait_for_an_address(pipeline):
    """DNS that does not answer holds the event loop's own threads, which pictures do not need."""
    content = to_file(draw_head(rows=1080, columns=1200), "BMP")
    assert len(content) > QUICKLY_READ_BYTES

    async def scenario(app):
        loop, found = asyncio.get_running_loop(), threading.Event()
        loop.set_default_executor(ThreadPoolExecutor(1))
        loop.run_in_executor(None, found.wait, PATIENCE_S)
        try:
            return await asyncio.wait_for(call(app, to_receive(to_form(content))), PATIENCE_S / 2)
        finally:
            found.set()

    assert run(pipeline, scenario).status == 201


async def get(app, path):
    statuses = []

    async def send(message):
        statuses.append(message.get("status"))

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "headers": [], "client": None, "server": None, "state": {},
    }  # fmt: skip
    await app(scope, never, send)
    return statuses[0]
