import asyncio

import numpy as np
import pytest
from headcirc_service.admission.renderers import Renderers
from headcirc_service.errors import OverloadedError, RequestTimeoutError
from headcirc_service.http.counted import PART_BYTES

from tests.service.admission.test_overload import run
from tests.support.raw_http import Answer, never, to_form, to_receive
from tests.support.raw_http import call as post
from tests.support.synthetic import draw_head, to_file

NOISE = np.random.default_rng(0).integers(0, 60, (540, 800), np.uint8)
NOISY = to_file(np.maximum(draw_head(), NOISE))
"""A head in noise, whose overlay is larger than what a connection takes at a time."""


def test_places_are_bounded_and_so_are_those_that_wait():
    """Two at work, one waits, the next is refused; a place that is given back is taken."""

    async def scenario():
        renderers = Renderers(2, capacity=1, timeout_s=9.0)
        leave = asyncio.Event()

        async def hold():
            async with renderers.take():
                await leave.wait()

        held = [asyncio.ensure_future(hold()) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            async with renderers.take():
                pass
        leave.set()
        await asyncio.gather(*held)
        async with renderers.take():
            return True

    assert asyncio.run(scenario())


def test_wait_for_a_place_ends():
    """With the time that a request has, and then others may wait."""

    async def scenario():
        renderers = Renderers(1, capacity=1, timeout_s=0.01)
        async with renderers.take():
            for _ in range(2):
                with pytest.raises(RequestTimeoutError):
                    async with renderers.take():
                        pass

    asyncio.run(scenario())


class Reader:
    """A client that asks for a picture, and reads no more of it until it may."""

    def __init__(self, app, path: str) -> None:
        self.answer, self.begun, self.goes_on = Answer(), asyncio.Event(), asyncio.Event()
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
            "root_path": "", "client": None, "server": None, "state": {},
            "headers": [(b"host", b"localhost")],
        }  # fmt: skip
        self.task = asyncio.ensure_future(app(scope, never, self._send))

    async def _send(self, message: dict) -> None:
        if message["type"] == "http.response.start":
            self.answer.status = message["status"]
            return
        self.answer.body += message["body"]
        self.begun.set()
        await self.goes_on.wait()

    async def read(self) -> Answer:
        self.goes_on.set()
        await self.task
        return self.answer


def test_pictures_that_nobody_reads_are_bounded(pipeline):
    """One unread overlay beyond the bound, and the next is 429 until it is read, or left."""

    async def scenario(app):
        created = await post(app, to_receive(to_form(NOISY)))
        overlay = created.json()["links"]["overlay"]
        slow = Reader(app, overlay)
        await slow.begun.wait()
        refused = await Reader(app, overlay).read()
        number = await Reader(app, created.json()["links"]["self"]).read()
        whole = await slow.read()
        left = Reader(app, overlay)
        await left.begun.wait()
        left.task.cancel()
        await asyncio.wait([left.task])
        return refused, number, whole, await Reader(app, overlay).read()

    refused, number, whole, later = run(pipeline, scenario, unread_max_bytes=1)
    assert (refused.status, refused.json()["code"]) == (429, "overloaded")
    assert number.status == 200
    assert (whole.status, later.status) == (200, 200)
    assert whole.body == later.body
    assert len(whole.body) > PART_BYTES


def test_kept_results_are_read_a_few_at_a_time(pipeline, monkeypatch):
    """However many ask, no more are held at once than there are places."""

    async def scenario(app):
        link = (await post(app, to_receive(to_form(NOISY)))).json()["links"]["self"]
        measurer = app.state.measurer
        find, held, most = measurer.find, 0, 0

        async def count(analysis_id):
            nonlocal held, most
            held += 1
            most = max(most, held)
            await asyncio.sleep(0.005)
            held -= 1
            return await find(analysis_id)

        monkeypatch.setattr(measurer, "find", count)
        paths = (link, f"{link}/overlay", f"{link}/mask", f"{link}/head-circumference")
        readers = [Reader(app, paths[n % 4]) for n in range(12)]
        statuses = {(await each.read()).status for each in readers}
        return most, statuses

    most, statuses = run(pipeline, scenario)
    assert most == 2
    assert statuses == {200, 409}
