"""Requests to answers: bounded work in threads, so that the event loop never waits for a network.

A request is one piece of work in one thread, from bytes to body. Where it meets the network, the
batcher decides who runs it; decoding and drawing of other requests go on beside it.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, TypeVar

from headcirc.geometry import PixelSpacing
from headcirc.pipeline import Analysis, Pipeline
from service.batcher import Batcher, Ticket
from service.metrics import Metrics
from service.problems import (
    ClientLeftError,
    OverloadedError,
    RequestTimeoutError,
    StoreUnavailableError,
)
from service.schemas import to_analysis_body
from service.settings import Settings
from service.store import Store
from service.stored import StoredAnalysis, to_stored

Answer = TypeVar("Answer")
CPU_BATCH, GPU_BATCH = 1, 8
"""On two CPUs a batch takes as long as its pictures one by one; a GPU is not filled by one."""
WORKERS_PER_PICTURE = 2
"""While one request infers, another decodes; more threads would only queue at the network."""


@dataclass(frozen=True)
class Question:
    """A picture and what its sender states about it."""

    content: bytes
    pixel_spacing: PixelSpacing | None
    frame_index: int | None

    def to_id(self, pipeline: Pipeline) -> str:
        """Return the name of the answer: the same everywhere for the same question and model."""
        digest = hashlib.sha256(self.content)
        facts = (
            self.pixel_spacing,
            self.frame_index or 0,
            pipeline.graph.sha256,
            pipeline.backend.precision,
        )
        digest.update(repr(facts).encode())
        return digest.hexdigest()[:32]


class Measurer:
    """The pipeline behind a bounded queue, and the store beside it."""

    def __init__(
        self, pipeline: Pipeline, settings: Settings, metrics: Metrics, store: Store
    ) -> None:
        self.pipeline = pipeline
        self._store = store
        self._metrics = metrics
        self._capacity = settings.queue_capacity
        self._timeout_s = settings.request_timeout_ms / 1000
        best_batch = settings.max_batch or choose_batch(pipeline)
        self.batcher = Batcher(
            pipeline.infer,
            best_batch=best_batch,
            wait_s=settings.batch_wait_ms / 1000,
            on_batch=metrics.batch_size.observe,
        )
        self._executor = ThreadPoolExecutor(WORKERS_PER_PICTURE * best_batch, "measure")
        self._depth = 0
        self._counting = Lock()

    @property
    def has_room(self) -> bool:
        """Return whether another request would be taken."""
        return self._depth < self._capacity

    def require_room(self) -> None:
        """Refuse what would wait longer than is good for anybody.

        Raises
        ------
        OverloadedError
        """
        if not self.has_room:
            raise OverloadedError(
                f"{self._capacity} requests are at work or waiting, which is the most that this "
                "service takes; send the request again in a second."
            )

    async def answer(
        self, question: Question, wait_until_gone: Callable[[], Awaitable[None]]
    ) -> tuple[StoredAnalysis, bool]:
        """Measure a picture, or find that it was measured before.

        Parameters
        ----------
        question : Question
        wait_until_gone : callable
            Returns when the client has left.

        Returns
        -------
        stored : StoredAnalysis
        is_new : bool
            False when the answer came from the store.
        """
        analysis_id = question.to_id(self.pipeline)
        with suppress(StoreUnavailableError):  # then it is measured again
            known = await self.find(analysis_id)
            if known is not None:
                return known, False
        arrived_s = time.perf_counter()
        analysis = await self.run(
            lambda ticket: self._measure(question, ticket, arrived_s), wait_until_gone
        )
        self._metrics.count_analysis(analysis.timing_ms, analysis.quality.warnings)
        stored = to_stored(to_analysis_body(analysis_id, analysis, self.pipeline), analysis)
        with suppress(StoreUnavailableError):  # the answer is worth having all the same
            await self._store.put(analysis_id, stored)
        return stored, True

    async def find(self, analysis_id: str) -> StoredAnalysis | None:
        """Return a kept result, or None.

        Raises
        ------
        StoreUnavailableError
        """
        outcome = "unavailable"
        try:
            stored = await self._store.get(analysis_id)
            outcome = "miss" if stored is None else "hit"
        finally:
            self._metrics.store_reads.labels(outcome).inc()
        return stored

    async def run(
        self,
        work: Callable[[Ticket], Answer],
        wait_until_gone: Callable[[], Awaitable[None]] | None = None,
    ) -> Answer:
        """Do work in a thread, within capacity and time, while somebody waits for it.

        Raises
        ------
        OverloadedError, RequestTimeoutError, ClientLeftError
        """
        self.require_room()
        ticket = Ticket(time.perf_counter() + self._timeout_s)
        self._count(1)
        # Not `run_in_executor`: its future may end before the thread, which keeps its place.
        submitted = self._executor.submit(self._work, work, ticket)
        submitted.add_done_callback(lambda _: self._count(-1))
        working = asyncio.wrap_future(submitted)
        watched: list[asyncio.Future[Any]] = [working]
        if wait_until_gone is not None:
            watched.append(asyncio.ensure_future(wait_until_gone()))
        try:
            await asyncio.wait(
                watched, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if working.done():
                return working.result()
            if len(watched) > 1 and watched[1].done():
                raise ClientLeftError("The client left before the answer was there.")
            raise RequestTimeoutError(
                f"No answer within {self._timeout_s:g} s; the service is busy. Try again later."
            )
        finally:
            ticket.has_client = working.done()
            for each in watched:  # work that has begun goes on to the next look at its ticket
                each.cancel()

    def _work(self, work: Callable[[Ticket], Answer], ticket: Ticket) -> Answer:
        ticket.require_wanted()
        return work(ticket)

    def _count(self, change: int) -> None:
        with self._counting:
            self._depth += change
            self._metrics.queue_depth.set(self._depth)

    def _measure(self, question: Question, ticket: Ticket, arrived_s: float) -> Analysis:
        began_s = time.perf_counter()
        with self.batcher.announce():
            prepared = self.pipeline.prepare(
                question.content,
                pixel_spacing=question.pixel_spacing,
                frame_index=question.frame_index,
            )
        inference = self.batcher.infer(prepared.network_input, ticket)
        assert inference.probability_map is not None
        analysis = self.pipeline.finish(prepared, inference.probability_map)
        timing_ms = analysis.timing_ms | {
            "queue": (began_s - arrived_s + inference.queue_s) * 1000,
            "inference": inference.run_s * 1000,
            "total": (time.perf_counter() - arrived_s) * 1000,
        }
        return replace(analysis, timing_ms=timing_ms)

    async def close(self) -> None:
        """Let the work at hand end and take no more."""
        await asyncio.to_thread(self._executor.shutdown)
        await self._store.close()


def choose_batch(pipeline: Pipeline) -> int:
    """Return how many pictures are best run together where this pipeline runs."""
    return CPU_BATCH if pipeline.backend.device == "cpu" else GPU_BATCH
