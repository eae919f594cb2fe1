import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from headcirc_service.admission.batcher import Batcher
from headcirc_service.admission.workers import Ticket
from headcirc_service.errors import ClientLeftError, RequestTimeoutError

from headcirc.model.prediction import Prediction
from tests.service.http.test_problems import CONTENT

PATIENCE_S = 10.0


def to_ticket(seconds: float = 60.0) -> Ticket:
    return Ticket(time.perf_counter() + seconds)


def to_input(value: float) -> np.ndarray:
    return np.full((1, 1, 2, 3), value, np.float32)


class Network:
    """Doubles its input, in batches that it remembers; it can be held open."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[float]] = []
        self.threads: list[int] = []
        self.entered, self.leave = threading.Event(), threading.Event()
        if not held:
            self.leave.set()

    def __call__(self, pictures: np.ndarray) -> list[Prediction]:
        self.batches.append([float(each[0, 0, 0]) for each in pictures])
        self.threads.append(threading.get_ident())
        self.entered.set()
        assert self.leave.wait(PATIENCE_S)
        return [Prediction(each) for each in pictures[:, 0] * 2]


def to_value(inference) -> float:
    return float(inference.prediction.probability_map[0, 0])


def wait_until(is_true) -> None:
    """Wait for a state of another thread that has no event."""
    until_s = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < until_s, "the state never came"
        threading.Event().wait(0.001)


def send(executor, batcher, values, ticket=None):
    """Send values one after the other, each of them waiting before the next one comes."""
    futures = []
    for value in values:
        before = len(batcher._waiting)
        futures.append(executor.submit(batcher.infer, to_input(value), ticket or to_ticket()))
        wait_until(lambda before=before: len(batcher._waiting) == before + 1)
    return futures


def test_single_request_runs_in_its_own_thread_without_waiting():
    """Idle: no hop to another thread, and no wait although a long one is allowed."""
    network = Network()
    batcher = Batcher(network, best_batch=8, wait_s=PATIENCE_S)
    began_s = time.perf_counter()
    with batcher.announce(ticket := to_ticket()):
        inference = batcher.infer(to_input(3), ticket)
    assert time.perf_counter() - began_s < PATIENCE_S / 2
    assert network.threads == [threading.get_ident()]
    assert (inference.prediction.probability_map == 6).all()
    assert inference.prediction.probability_map.shape == (2, 3)


@pytest.mark.parametrize(
    ("best_batch", "batches"), [(1, [[0], [1], [2], [3]]), (2, [[0], [1, 2], [3]])]
)
def test_waiting_requests_leave_in_order_up_to_the_best_batch(best_batch, batches):
    """What waits behind an inference runs in order of arrival, together where that is best."""
    network = Network(held=True)
    batcher = Batcher(network, best_batch=best_batch)
    with ThreadPoolExecutor(4) as executor:
        first = executor.submit(batcher.infer, to_input(0), to_ticket())
        assert network.entered.wait(PATIENCE_S)
        others = send(executor, batcher, [1, 2, 3])
        network.leave.set()
        answers = [
            float(each.result().prediction.probability_map[0, 0]) for each in (first, *others)
        ]
    assert answers == [0, 2, 4, 6]
    assert network.batches == batches


def test_batch_waits_for_a_request_that_is_on_its_way():
    """While another request is being prepared, a batch with room waits for it and runs both."""
    network = Network()
    batcher = Batcher(network, best_batch=2, wait_s=PATIENCE_S)
    with ThreadPoolExecutor(1) as executor, batcher.announce(ticket := to_ticket()):
        (first,) = send(executor, batcher, [1])
        second = batcher.infer(to_input(2), ticket)
        assert (first.result().prediction.probability_map == 2).all()
    assert (second.prediction.probability_map == 4).all()
    assert network.batches == [[1, 2]]


def test_request_is_on_its_way_until_it_waits(client):
    """There is no moment between, in which a batch could leave without it."""
    batcher = client.app.state.measurer.batcher
    coming = []

    def infer(*arguments, infer=batcher.infer):
        coming.append(len(batcher._coming))
        return infer(*arguments)

    def run_network(pictures, run_network=batcher._run_network):
        coming.append(len(batcher._coming))
        return run_network(pictures)

    batcher.infer, batcher._run_network = infer, run_network
    assert client.post("/v1/analyses", files={"image": CONTENT}).status_code == 201
    assert coming == [1, 0]


def test_unwanted_requests_are_dropped_before_the_network():
    """A client that left and a deadline that passed while waiting cost no inference."""
    network = Network(held=True)
    batcher = Batcher(network)
    left, late, good = to_ticket(), to_ticket(), to_ticket()
    with ThreadPoolExecutor(4) as executor:
        first = executor.submit(batcher.infer, to_input(0), to_ticket())
        assert network.entered.wait(PATIENCE_S)
        waiting = [
            send(executor, batcher, [value], ticket)[0]
            for value, ticket in [(1, left), (2, late), (3, good)]
        ]
        left.has_client, late.deadline_s = False, 0.0
        network.leave.set()
        assert first.result().is_done
        with pytest.raises(ClientLeftError):
            waiting[0].result()
        with pytest.raises(RequestTimeoutError):
            waiting[1].result()
        assert (waiting[2].result().prediction.probability_map == 6).all()
    assert network.batches == [[0], [3]]


def test_failing_network_fails_its_batch_and_no_other():
    """Every request of the batch is told, the reason is kept, and the next success clears it."""

    def fail(pictures):
        raise MemoryError("secret")

    batcher = Batcher(fail)
    with pytest.raises(MemoryError):
        batcher.infer(to_input(1), to_ticket())
    assert batcher.failure == "MemoryError"
    batcher._run_network = Network()
    assert (batcher.infer(to_input(1), to_ticket()).prediction.probability_map == 2).all()
    assert batcher.failure is None


def test_network_that_answers_too_few_pictures_fails_its_batch():
    """One that got no answer would else look for a batch with itself in it, without an end."""
    network = Network(held=True)
    batcher = Batcher(lambda pictures: network(pictures)[:1], best_batch=2)
    with ThreadPoolExecutor(3) as executor:
        first = executor.submit(batcher.infer, to_input(0), to_ticket())
        assert network.entered.wait(PATIENCE_S)
        others = send(executor, batcher, [1, 2])
        network.leave.set()
        assert first.result(PATIENCE_S).is_done
        for each in others:
            with pytest.raises(ValueError, match="shorter"):
                each.result(PATIENCE_S)
    assert batcher.failure == "ValueError"


def test_many_threads_each_get_their_own_answer():
    """Two hundred requests from eight threads: every answer is its own question's."""
    sizes: list[int] = []
    batcher = Batcher(Network(), best_batch=4, wait_s=0.001, on_batch=sizes.append)

    def ask(value):
        with batcher.announce(ticket := to_ticket()):
            inference = batcher.infer(to_input(value), ticket)
        return to_value(inference)

    with ThreadPoolExecutor(8) as executor:
        answers = list(executor.map(ask, range(200)))
    assert answers == [2 * value for value in range(200)]
    assert sum(sizes) == 200
    assert max(sizes) <= 4


def test_two_threads_lead_where_the_network_can_be_shared():
    """The first runs alone; one that comes meanwhile runs beside it, and gets its own answer."""
    alone, shared = Network(held=True), Network()
    batcher = Batcher(alone, run_shared=shared)
    with ThreadPoolExecutor(2) as executor:
        first = executor.submit(batcher.infer, to_input(1.0), to_ticket())
        assert alone.entered.wait(PATIENCE_S)
        second = executor.submit(batcher.infer, to_input(2.0), to_ticket())
        assert to_value(second.result(PATIENCE_S)) == 4.0
        assert not first.done()
        alone.leave.set()
        assert to_value(first.result(PATIENCE_S)) == 2.0
    assert (alone.batches, shared.batches) == ([[1.0]], [[2.0]])


def test_input_that_is_prepared_is_expected_to_share():
    """Alone means that none is coming either; the next one runs alone again."""
    alone, shared = Network(), Network()
    batcher = Batcher(alone, run_shared=shared)
    with batcher.announce(to_ticket()):
        assert to_value(batcher.infer(to_input(1.0), to_ticket())) == 2.0
    assert to_value(batcher.infer(to_input(3.0), to_ticket())) == 6.0
    assert (alone.batches, shared.batches) == ([[3.0]], [[1.0]])


def test_many_threads_and_pictures_share_without_losing_one():
    """A thread whose pictures another one has taken waits for them."""
    batcher = Batcher(Network(), best_batch=2, run_shared=Network())

    def ask(start):
        values = [float(start + each) for each in range(5)]
        found = batcher.infer_all([to_input(each) for each in values], to_ticket())
        return [to_value(each) for each in found] == [2 * each for each in values]

    with ThreadPoolExecutor(6) as executor:
        assert all(executor.map(ask, range(0, 300, 5), timeout=PATIENCE_S))
