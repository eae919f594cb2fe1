"""The one owner of a backend: what waits for the network leaves in batches, in order of arrival.

There is no thread of its own. Of the threads that wait, one leads: it takes what waits, up to the
best batch, runs the network for all of it, and hands over once its own answer is there. So a single
request on an idle service runs in the thread that prepared it, with no further hop.

This file does not decode, measure or answer.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition

import numpy as np
from numpy.typing import NDArray

from headcirc_service.admission.workers import Ticket
from headcirc_service.errors import ServiceError

Array = NDArray[np.float32]


@dataclass
class Inference:
    """One picture's way through the network.

    Attributes
    ----------
    network_input : (1, 1, h, w) float32, network grid
    ticket : Ticket
    probability_map : (h, w) float32, network grid, or None
        None until it is done.
    queue_s, run_s : float
        Waiting for the network; in the network, the whole batch.
    error : Exception, optional
        Why there is no probability map.
    """

    network_input: Array
    ticket: Ticket
    arrived_s: float = field(default_factory=time.perf_counter)
    probability_map: Array | None = None
    queue_s: float = 0.0
    run_s: float = 0.0
    error: Exception | None = None

    @property
    def is_done(self) -> bool:
        """Return whether it has its answer, or the reason why there is none."""
        return self.probability_map is not None or self.error is not None


class Batcher:
    """See the module.

    Parameters
    ----------
    run_network : callable
        (n, 1, h, w) to (n, h, w); only one thread is in it at a time.
    best_batch : int
        Pictures that run together at most; 1 where a batch gains nothing.
    wait_s : float
        How long a batch that is not full waits for requests that are being prepared. Without such
        requests it does not wait at all.
    on_batch : callable, optional
        Told the size of every batch that ran.
    """

    def __init__(
        self,
        run_network: Callable[[Array], Array],
        *,
        best_batch: int = 1,
        wait_s: float = 0.0,
        on_batch: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._run_network = run_network
        self._best_batch = best_batch
        self._wait_s = wait_s
        self._on_batch = on_batch
        self._changed = Condition()
        self._waiting: deque[Inference] = deque()
        self._coming: set[Ticket] = set()
        self._is_led = False
        self.failure: str | None = None
        """What the last batch failed of; None once one has run."""

    @contextmanager
    def announce(self, ticket: Ticket) -> Iterator[None]:
        """Say that a request is on its way here, until `infer` has it or it comes no more."""
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
            Nobody waits for the answer any more; the network was not run for it.
        Exception
            What the network failed of.
        """
        mine = Inference(network_input, ticket)
        with self._changed:
            self._waiting.append(mine)
            self._coming.discard(ticket)
            self._changed.notify_all()  # a leader may wait for it
            while self._is_led and not mine.is_done:
                self._changed.wait()
            if not mine.is_done:
                self._lead_until_done(mine)
        if mine.error is not None:
            raise mine.error
        return mine

    def _lead_until_done(self, mine: Inference) -> None:
        """Run batch after batch until one's own is done; the lock is held on entry and exit."""
        self._is_led = True
        try:
            while not mine.is_done:
                batch = self._collect()
                self._changed.release()
                try:
                    self._run(batch)
                finally:
                    self._changed.acquire()
                    self._changed.notify_all()
        finally:
            self._is_led = False
            self._changed.notify_all()  # one of those that still wait leads now

    def _collect(self) -> list[Inference]:
        """Take what is still wanted, up to the best batch; what is not is done with an error."""
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
                first.ticket.require_wanted()
            except ServiceError as unwanted:
                first.error = unwanted
            else:
                batch.append(first)
        return batch

    def _run(self, batch: list[Inference]) -> None:
        """Run the network once and give every request its own; the lock is not held."""
        if not batch:
            return
        began_s = time.perf_counter()
        try:
            alone = len(batch) == 1
            maps = self._run_network(
                batch[0].network_input
                if alone
                else np.concatenate([each.network_input for each in batch])
            )
            answers = list(zip(batch, maps, strict=True))
        except Exception as error:  # whatever it is, every request of the batch is told
            self.failure = type(error).__name__
            for each in batch:
                each.error = error
            return
        run_s = time.perf_counter() - began_s
        self.failure = None
        self._on_batch(len(batch))
        for each, probability_map in answers:
            each.queue_s, each.run_s = began_s - each.arrived_s, run_s
            each.probability_map = probability_map
