import asyncio
import time

import pytest
from headcirc_service.admission import pace
from headcirc_service.admission.pace import Pace
from headcirc_service.app import create_app
from headcirc_service.settings import Settings

from tests.support.raw_http import call, never


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that only the test moves."""

    class Clock:
        now_s = 100.0

        def monotonic(self) -> float:
            return self.now_s

    stopped = Clock()
    monkeypatch.setattr(pace, "time", stopped)
    return stopped


def test_many_refusals_are_spread_over_time(clock):
    """The first waits the shortest time, the others follow at the rate, none beyond the longest."""
    delays = Pace(10, shortest_s=0.05, longest_s=0.5)
    assert [delays.take_s() for _ in range(8)] == pytest.approx(
        [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5]
    )
    clock.now_s += 0.5
    assert delays.take_s() == pytest.approx(0.05)


def test_overloaded_service_refuses_with_a_delay(pipeline):
    """A refusal that is no invitation to retry is sent at once."""

    async def scenario() -> tuple[tuple[int, float], tuple[int, float]]:
        app = create_app(Settings(queue_capacity=1), pipeline)
        async with app.router.lifespan_context(app):
            upload = asyncio.ensure_future(call(app, never))
            await asyncio.sleep(0)
            found = await time_call(app), await time_call(app, host="another.example")
            upload.cancel()
            await asyncio.gather(upload, return_exceptions=True)
            return found

    async def time_call(app, **headers) -> tuple[int, float]:
        began_s = time.monotonic()
        return (await call(app, never, **headers)).status, time.monotonic() - began_s

    (overloaded, took_s), (foreign, _) = asyncio.run(scenario())
    assert (overloaded, foreign) == (429, 400)
    assert took_s >= pace.SHORTEST_S
