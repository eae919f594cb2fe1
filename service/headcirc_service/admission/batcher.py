"""Dynamic batching: inputs that wait for the network run together, in order of arrival.

The batcher has no thread. One of the waiting threads leads: it takes the inputs that wait, up to
the best batch, runs the network for them, and passes the lead on once it has its own answer. So a
single request on an idle service runs in the thread that prepared it. Where the network can be
shared, two threads may lead at the same time.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition

import numpy as np
from numpy.typing import NDArray

from headcirc.model.prediction import Prediction
from headcirc_service.admission.workers import Ticket
from headcirc_service.errors import ServiceError

Array = NDArray[np.float32]


@dataclass
class Inference:
    """One picture that runs through the network.

    Attributes
    ----------
    network_input : (1, 1, h, w) float32, network grid
    ticket : Ticket
    prediction : Prediction, optional
        None until it is done.
    queue_s, run_s : float
        Time of the wait for the network, and of the run of the whole batch.
    error : Exception, optional
        The reason if there is no prediction.
    """

    network_input: Array
    ticket: Ticket
    arrived_s: float = field(default_factory=time.perf_counter)
    prediction: Prediction | None = None
    queue_s: float = 0.0
    run_s: float = 0.0
    error: Exception | None = None

    @property
    def is_done(self) -> bool:
        """Return whether it has a prediction or an error."""
        return self.prediction is not None or self.error is not None

    def require_prediction(self) -> Prediction:
        """Return the prediction, or raise why there is none."""
        if self.error is not None:
            raise self.error
        assert self.prediction is not None, "an inference that is done has one of both"
        return self.prediction


class Batcher:
    """See the module.

    Parameters
    ----------
    run_network : callable
        (n, 1, h, w) to n predictions; only one thread calls it at the same time.
    best_batch : int
        Most pictures of one batch; 1 if batches are not faster.
    wait_s : float
        How long a batch that is not full waits for requests that are being prepared. Without such
        requests it does not wait.
    on_batch : callable, optional
        Called with the size of every batch that ran.
    run_shared : callable, optional
        As `run_network`, for two threads at the same time. Then two threads may lead; a thread that
        leads alone, while no input is being prepared, still uses `run_network`.
    """

    def __init__(
        self,
        run_network: Callable[[Array], Sequence[Prediction]],
        *,
        best_batch: int = 1,
        wait_s: float = 0.0,
        on_batch: Callable[[int], None] = lambda _: None,
        run_shared: Callable[[Array], Sequence[Prediction]] | None = None,
    ) -> None:
        self._run_network = run_network
        self._best_batch = best_batch
        self._wait_s = wait_s
        self._on_batch = on_batch
        self._changed = Condition()
        self._waiting: deque[Inference] = deque()
        self._coming: set[Ticket] = set()
        self._run_shared = run_shared
        self._most_leaders = 1 if run_shared is None else 2
        self._leaders = 0
        self.failure: str | None = None
        """Name of the error of the last batch; None if it succeeded."""

    @contextmanager
    def announce(self, ticket: Ticket) -> Iterator[None]:
        """Announce an input until `infer` has it, or until the block ends without it."""
        with self._changed:
            self._coming.add(ticket)
        try:
            yield
        finally:
            with self._changed:
                self._coming.discard(ticket)
                self._changed.notify_all()

    def infer(self, network_input: Array, ticket: Ticket) -> Inference:
        """Run one picture through the network, alone or with others that wait.

        Raises
        ------
        ClientLeftError, RequestTimeoutError
            The client no longer waits; the network was not run.
        Exception
            The error of the network.
        """
        (mine,) = self.infer_all([network_input], ticket)
        mine.require_prediction()
        return mine

    def infer_all(self, network_inputs: Sequence[Array], ticket: Ticket) -> list[Inference]:
        """Run some pictures of one request through the network; each has a prediction or an error.

        They wait in line like those of other requests, and run together where a batch has room.
        """
        mine = [Inference(each, ticket) for each in network_inputs]
        with self._changed:
            self._waiting.extend(mine)
            self._coming.discard(ticket)
            self._changed.notify_all()  # the leader may wait for these inputs
            while self._leaders >= self._most_leaders and not _are_done(mine):
                self._changed.wait()
            if not _are_done(mine):
                self._lead_until_done(mine)
        return mine

    def _lead_until_done(self, mine: Sequence[Inference]) -> None:
        """Run batches until `mine` are done; the lock is held on entry and on exit."""
        self._leaders += 1
        try:
            while not _are_done(mine):
                batch = self._collect()
                if batch:
                    self._run_unlocked(batch)
                self._changed.notify_all()
                if not batch and not _are_done(mine):  # another thread runs them
                    self._changed.wait()
        finally:
            self._leaders -= 1
            self._changed.notify_all()  # one of the threads that wait leads next

    def _run_unlocked(self, batch: list[Inference]) -> None:
        is_alone = self._leaders == 1 and not self._coming
        self._changed.release()
        try:
            self._run(batch, is_alone=is_alone)
        finally:
            self._changed.acquire()

    def _collect(self) -> list[Inference]:
        """Take inputs up to the best batch; an input that is no longer needed gets an error."""
        deadline_s = time.perf_counter() + self._wait_s
        while len(self._waiting) < self._best_batch and self._coming:
            left_s = deadline_s - time.perf_counter()
            if left_s <= 0:
                break
            self._changed.wait(left_s)
        batch: list[Inference] = []
        while self._waiting and len(batch) < self._best_batch:
            first = self._waiting.popleft()
            try:
                first.ticket.require_needed()
            except ServiceError as refusal:
                first.error = refusal
            else:
                batch.append(first)
        return batch

    def _run(self, batch: list[Inference], *, is_alone: bool) -> None:
        """Run the network once and give each input its result; the lock is not held."""
        began_s = time.perf_counter()
        inputs = [each.network_input for each in batch]
        run = self._run_network if is_alone or self._run_shared is None else self._run_shared
        try:
            predictions = run(inputs[0] if len(inputs) == 1 else np.concatenate(inputs))
            answers = list(zip(batch, predictions, strict=True))
        except Exception as error:  # every request of the batch fails with it
            self.failure = type(error).__name__
            for each in batch:
                each.error = error
            return
        run_s = time.perf_counter() - began_s
        self.failure = None
        self._on_batch(len(batch))
        for each, prediction in answers:
            each.queue_s, each.run_s = began_s - each.arrived_s, run_s
            each.prediction = prediction


def _are_done(inferences: Sequence[Inference]) -> bool:
    return all(each.is_done for each in inferences)
