import asyncio
from dataclasses import replace

import pytest

from service.measurer import Question
from tests.service.test_overload import HeldNetwork, post, run


@pytest.fixture
def network(pipeline):
    held = HeldNetwork(pipeline)
    yield held
    held.leave.set()


async def ask_twice(app, network, **first):
    """Ask the same twice, the second time while the network is at work for the first."""
    asked = [post(app, "0.1", **first)]
    await network.wait_until_entered()
    finding = asyncio.Event()
    find = app.state.measurer.find

    async def find_and_tell(analysis_id):
        finding.set()
        return await find(analysis_id)

    app.state.measurer.find = find_and_tell
    asked.append(post(app, "0.1"))
    await finding.wait()
    await asyncio.sleep(0)
    return asked


@pytest.mark.parametrize("result_ttl_s", [600, 0])
def test_same_question_at_once_is_measured_once(pipeline, network, result_ttl_s):
    """201 and 200 with the same body, from one inference, kept or not."""

    async def scenario(app):
        asked = await ask_twice(app, network)
        network.leave.set()
        return await asyncio.gather(*asked)

    first, second = run(pipeline, scenario, result_ttl_s=result_ttl_s)
    assert (first.status, second.status) == (201, 200)
    assert second.body == first.body
    assert network.runs == 1


def test_first_client_that_leaves_takes_no_answer_along(pipeline, network):
    """The second is measured on its own account."""

    async def scenario(app):
        gone = asyncio.Event()

        async def disconnect():
            await gone.wait()
            return {"type": "http.disconnect"}

        first, second = await ask_twice(app, network, then=disconnect)
        gone.set()
        left = await first
        network.leave.set()
        return left, await second

    left, second = run(pipeline, scenario)
    assert (left.status, second.status) == (499, 201)


def test_second_client_that_leaves_does_not_disturb_the_first(pipeline, network):
    """Nor does it what is asked afterwards."""

    async def scenario(app):
        first, second = await ask_twice(app, network)
        second.cancel()
        await asyncio.wait([second])
        network.leave.set()
        return await first, await post(app, "0.1")

    first, later = run(pipeline, scenario)
    assert (first.status, later.status) == (201, 200)
    assert network.runs == 1


def test_another_release_names_its_answers_anew(pipeline, monkeypatch):
    """Replicas of two releases share a store, and neither gives the other's millimetres."""
    question = Question(b"picture", None, None)
    names = {question.to_id(pipeline)}
    monkeypatch.setattr("headcirc.__version__", "9.9.9")
    names.add(question.to_id(pipeline))
    other = replace(pipeline, manifest=replace(pipeline.manifest, version="9.9.9"))
    names.add(question.to_id(other))
    assert len(names) == 3
