import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import headcirc_service.admission.arrivals
import pytest
from headcirc_service.admission.workers import Workers
from headcirc_service.app import create_app
from headcirc_service.errors import RequestTimeoutError
from headcirc_service.measuring.measurer import QUICKLY_READ_BYTES
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
        headcirc_service.admission.arrivals, "FRESH_S", 60.0
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
    monkeypatch.setattr(headcirc_service.admission.arrivals, "FRESH_S", 0.0)

    async def scenario(app):
        slow = [begin_upload(app, client=f"10.0.0.{i}") for i in range(4)]
        await asyncio.sleep(0)
        ready, depth = await get(app, "/readyz"), read_queue_depth(app)
        refused = await call(app, never, client="10.0.0.9")
        for each in slow:
            each.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        later = await post(app, "0.1"), await get(app, "/readyz"), read_queue_depth(app)
        return ready, depth, refused, later

    ready, depth, refused, (answer, ready_later, depth_later) = run(
        pipeline, scenario, queue_capacity=1
    )
    assert (refused.status, answer.status) == (429, 201)
    assert (ready, ready_later) == (503, 200)
    assert (depth, depth_later) == (4, 0)


@pytest.mark.parametrize(
    ("clients", "second"),
    [
        (("10.0.0.1", "10.0.0.1"), 429),
        (("10.0.0.1", "::ffff:10.0.0.1"), 429),
        (("2001:db8::1", "2001:db8::2"), 429),
        (("2001:db8::1", "2001:db8:0:1::1"), 201),
        (("10.0.0.1", "10.0.0.2"), 201),
    ],
)
def test_one_client_sends_its_share_of_bodies(pipeline, monkeypatch, clients, second):
    """Its slow uploads leave places for others; of IPv6, a client is a /64."""
    monkeypatch.setattr(headcirc_service.admission.arrivals, "FRESH_S", 0.0)

    async def scenario(app):
        slow = begin_upload(app, client=clients[0])
        await asyncio.sleep(0)
        answer = await call(app, to_receive(to_form(CONTENT)), client=clients[1])
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        return answer

    assert run(pipeline, scenario, queue_capacity=1).status == second


@pytest.mark.parametrize(
    ("trusted", "second"), [("", 429), ("127.0.0.1", 201), ("127.0.0.0/8,::1", 201)]
)
def test_share_is_the_clients_that_a_trusted_reverse_proxy_names(
    pipeline, monkeypatch, trusted, second
):
    """Its header is believed only where that proxy is: else anybody could have many shares."""
    monkeypatch.setattr(headcirc_service.admission.arrivals, "FRESH_S", 0.0)

    async def scenario(app):
        slow = begin_upload(app, x_forwarded_for="10.0.0.1")
        await asyncio.sleep(0)
        told = {"x_forwarded_for": "10.0.0.1, 10.0.0.2"}
        answer = await call(app, to_receive(to_form(CONTENT)), **told)
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        return answer

    settings = {"queue_capacity": 1, "trusted_gateways": trusted}
    assert run(pipeline, scenario, **settings).status == second


def test_one_client_that_begins_again_and_again_leaves_room(pipeline, monkeypatch):
    """What it has just begun counts for half the places at most, however often it begins."""
    monkeypatch.setattr(headcirc_service.admission.arrivals, "FRESH_S", 60.0)

    async def scenario(app):
        begun = [begin_upload(app, client="10.0.0.1") for _ in range(9)]
        await asyncio.sleep(0)
        answer = await call(app, to_receive(to_form(CONTENT)), client="10.0.0.2")
        for each in begun:
            each.cancel()
        await asyncio.gather(*begun, return_exceptions=True)
        return answer

    assert run(pipeline, scenario, queue_capacity=4).status == 201


@pytest.mark.parametrize("part", [b"", b"x"], ids=["silent", "trickle"])
def test_body_that_falls_behind_is_told(pipeline, monkeypatch, part):
    """It need not take all of the time that an upload may take; a fast one may be silent."""
    monkeypatch.setattr(headcirc_service.admission.arrivals, "PATIENCE_S", 0.3)

    async def scenario(app):
        form = to_form(CONTENT)
        begun = [form[:100]]

        async def stall():
            if begun:
                return {"type": "http.request", "body": begun.pop(), "more_body": True}
            await (asyncio.sleep(0.05) if part else never())
            return {"type": "http.request", "body": part, "more_body": True}

        return await call(app, stall)

    slow = run(pipeline, scenario, upload_least_bytes_per_s=1_000)
    assert (slow.status, slow.json()["code"]) == (504, "timeout")
    assert "1,000 bytes a second" in slow.json()["detail"]


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
        while app.state.measurer.workers.depth < 3:
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
        workers = Workers(1, capacity=9, timeout_s=1.0)
        with pytest.raises(RequestTimeoutError):
            await workers.run(lambda _: time.sleep(2.0))
        while workers.depth:
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
        while app.state.measurer.workers.depth:
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


def begin_upload(app, **told: str) -> asyncio.Future:
    """Announce a body of which nothing comes."""
    return asyncio.ensure_future(call(app, never, **told))


def read_queue_depth(app) -> float:
    return app.state.metrics.registry.get_sample_value("headcirc_queue_depth")


async def get(app, path):
    statuses = []

    async def send(message):
        statuses.append(message.get("status"))

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "headers": [(b"host", b"a")], "client": None, "server": None, "state": {},
    }  # fmt: skip
    await app(scope, never, send)
    return statuses[0]
