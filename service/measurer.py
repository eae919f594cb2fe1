"""Requests to answers: bounded work in threads, so that the event loop never waits for a network.

One inference runs at a time, on all CPUs; decoding and drawing of other requests go on beside it.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock
from typing import TypeVar

from headcirc.geometry import PixelSpacing
from headcirc.pipeline import Analysis, Pipeline
from service.metrics import Metrics
from service.problems import OverloadedError, RequestTimeoutError
from service.schemas import to_analysis_body
from service.settings import Settings
from service.store import AnalysisStore, StoredAnalysis

Answer = TypeVar("Answer")
WORKERS = 2
"""One request infers while another decodes; more threads would only queue at the network."""


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

    def __init__(self, pipeline: Pipeline, settings: Settings, metrics: Metrics) -> None:
        self.pipeline = pipeline
        self.store = AnalysisStore(ttl_s=settings.result_ttl_s, max_bytes=settings.store_max_bytes)
        self._metrics = metrics
        self._capacity = settings.queue_capacity
        self._timeout_s = settings.request_timeout_ms / 1000
        self._depth = 0
        self._executor = ThreadPoolExecutor(WORKERS, "measure")
        self._network = Lock()

    @property
    def has_room(self) -> bool:
        """Return whether another request would be taken."""
        return self._depth < self._capacity

    async def answer(self, question: Question) -> tuple[StoredAnalysis, bool]:
        """Measure a picture, or find that it was measured before.

        Returns
        -------
        stored : StoredAnalysis
        is_new : bool
            False when the answer came from the store.
        """
        analysis_id = question.to_id(self.pipeline)
        known = self.store.get(analysis_id)
        if known is not None:
            return known, False
        arrived = time.perf_counter()
        analysis = await self.run(lambda: self._measure(question, arrived))
        self._metrics.count_analysis(analysis.timing_ms, analysis.quality.warnings)
        stored = StoredAnalysis(to_analysis_body(analysis_id, analysis, self.pipeline), analysis)
        self.store.put(analysis_id, stored)
        return stored, True

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """Do work in a thread, within capacity and time.

        Raises
        ------
        OverloadedError, RequestTimeoutError
        """
        if not self.has_room:
            raise OverloadedError(
                f"{self._capacity} requests are at work or waiting, which is the most that this "
                "service takes; send the request again in a second."
            )
        self._depth += 1
        self._metrics.queue_depth.set(self._depth)
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        future.add_done_callback(lambda _: self._leave())
        try:
            return await asyncio.wait_for(asyncio.shield(future), self._timeout_s)
        except TimeoutError as error:
            # The thread cannot be stopped: it keeps its place until it is done.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise RequestTimeoutError(
                f"No answer within {self._timeout_s:g} s; the service is busy. Try again later."
            ) from error

    def _leave(self) -> None:
        self._depth -= 1
        self._metrics.queue_depth.set(self._depth)

    def _measure(self, question: Question, arrived: float) -> Analysis:
        began = time.perf_counter()
        prepared = self.pipeline.prepare(
            question.content,
            pixel_spacing=question.pixel_spacing,
            frame_index=question.frame_index,
        )
        waiting = time.perf_counter()
        with self._network:
            running = time.perf_counter()
            probability_maps = self.pipeline.infer(prepared.network_input)
            ended = time.perf_counter()
        analysis = self.pipeline.finish(prepared, probability_maps[0])
        timing_ms = analysis.timing_ms | {
            "queue": (began - arrived + running - waiting) * 1000,
            "inference": (ended - running) * 1000,
            "total": (time.perf_counter() - arrived) * 1000,
        }
        return replace(analysis, timing_ms=timing_ms)

    def close(self) -> None:
        """Let the work at hand end and take no more."""
        self._executor.shutdown(wait=True)
