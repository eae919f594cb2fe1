import asyncio
from dataclasses import replace

import pytest
from headcirc_service.measuring.measurer import Question

from tests.service.admission.test_overload import HeldNetwork, post, run


@pytest.fixture
def network(pipeline):
    held = HeldNetwork(pipeline)
    yield held
    held.leave.set()


async def ask_often(app, network, others, **first):
    """Ask the same often, all but the first time while the network is at work for the first."""
    asked = [post(app, "0.1", **first)]
    await network.wait_until_entered()
    finding = asyncio.Semaphore(0)
    find = app.state.measurer.find

    async def find_and_tell(analysis_id):
        finding.release()
        return await find(analysis_id)

    app.state.measurer.find = find_and_tell
    for _ in range(others):
        asked.append(post(app, "0.1"))
        await finding.acquire()
        await asyncio.sleep(0)
    return asked


@pytest.mark.parametrize("result_ttl_s", [600, 0])
def test_same_question_at_once_is_measured_once(pipeline, network, result_ttl_s):
    """201 and 200 with the same body, from one inference, kept or not."""

    async def scenario(app):
        asked = await ask_often(app, network, 1)
        network.leave.set()
        return await asyncio.gather(*asked)

    first, second = run(pipeline, scenario, result_ttl_s=result_ttl_s)
    assert (first.status, second.status) == (201, 200)
    assert second.body == first.body
    assert network.runs == 1


def test_first_client_that_leaves_takes_no_answer_along(pipeline, network):
    """One of the waiting requests is measured, and the others share its answer."""

    async def scenario(app):
        gone = asyncio.Event()

        async def disconnect():
            await gone.wait()
            return {"type": "http.disconnect"}

        first, *others = await ask_often(app, network, 5, then=disconnect)
        gone.set()
        left = await first
        network.leave.set()
        return left, await asyncio.gather(*others)

    left, others = run(pipeline, scenario)
    assert left.status == 499
    assert sorted(each.status for each in others) == [200, 200, 200, 200, 201]
    assert network.runs == 2


def test_those_that_wait_share_a_failure_too(pipeline, network):
    """The network is not run again for each of them."""

    async def scenario(app):
        asked = await ask_often(app, network, 3)
        pipeline.backend.infer._infer = None
        network.leave.set()
        return await asyncio.gather(*asked)

    assert [each.status for each in run(pipeline, scenario)] == [500] * 4
    assert network.runs == 1


def test_those_that_wait_for_the_same_are_bounded(pipeline, network):
    """Each holds its picture, and none has a place in the queue."""

    async def scenario(app):
        asked = await ask_often(app, network, 3)
        network.leave.set()
        return await asyncio.gather(*asked)

    answers = run(pipeline, scenario, queue_capacity=2)
    assert sorted(each.status for each in answers) == [200, 200, 201, 429]


def test_second_client_that_leaves_does_not_disturb_the_first(pipeline, network):
    """Nor does it what is asked afterwards."""

    async def scenario(app):
        first, second = await ask_often(app, network, 1)
        second.cancel()
        await asyncio.wait([second])
        network.leave.set()
        return await first, await post(app, "0.1")

    first, later = run(pipeline, scenario)
    assert (first.status, later.status) == (201, 200)
    assert network.runs == 1


def test_another_release_has_other_ids(pipeline, monkeypatch):
    """Replicas of two releases share a store, and neither gives the other's millimetres."""
    question = Question(b"picture", None, None)
    names = {question.to_id(pipeline)}
    monkeypatch.setattr("headcirc.__version__", "9.9.9")
    names.add(question.to_id(pipeline))
    other = replace(pipeline, manifest=replace(pipeline.manifest, version="9.9.9"))
    names.add(question.to_id(other))
    assert len(names) == 3
