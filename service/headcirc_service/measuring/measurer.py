"""Measure pictures in threads behind a bounded queue, so that the event loop never waits.

One thread takes a request from bytes to the answer's body. At the network, the batcher decides
which thread runs the batch; other threads decode meanwhile.
"""

import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from starlette.concurrency import run_in_threadpool

import headcirc
from headcirc.answers import ScaleProposal, to_scale_proposal
from headcirc.geometry import StatedScale
from headcirc.model.prediction import Prediction
from headcirc.pipeline import Analysis, Pipeline
from headcirc_service.admission.arrivals import Arrivals
from headcirc_service.admission.batcher import Array, Batcher, Inference
from headcirc_service.admission.coalescing import RequestCoalescer
from headcirc_service.admission.large_files import LargeFiles
from headcirc_service.admission.renderers import MOST_RENDERERS, Places, Renderers, Unread
from headcirc_service.admission.workers import Ticket, Workers
from headcirc_service.answers import to_analysis_body
from headcirc_service.errors import NotReadyError, StoreUnavailableError
from headcirc_service.measuring.cines import Cines
from headcirc_service.measuring.corrections import Corrections
from headcirc_service.measuring.explanations import Explanations
from headcirc_service.results.result_names import to_scoped_id
from headcirc_service.results.store import Store
from headcirc_service.results.stored_analysis import StoredAnalysis, to_stored
from headcirc_service.settings import Settings
from headcirc_service.telemetry.metrics import Metrics
from headcirc_service.telemetry.spans import Stage

logger = logging.getLogger("headcirc.service")
CPU_BATCH, GPU_BATCH = 1, 8
"""On two CPUs a batch is not faster than single pictures; one picture does not fill a GPU."""
PLACES_PER_PICTURE = 16
"""Places of the queue per picture of a batch; the last one waits twice as long as with eight."""
QUICKLY_READ_BYTES = 1_000_000
"""The SHA-256 of so many bytes takes about a millisecond."""
WORKERS_PER_PICTURE = 2
"""One request decodes while another is in the network; more threads would only wait for it."""


@dataclass(frozen=True)
class Question:
    """A picture, with the facts that its sender states.

    Attributes
    ----------
    content : bytes
        The file.
    pixel_spacing : PixelSpacing or ScaleMarks, optional
        The pixel size, or how far the marks of the depth scale are apart.
    frame_index : int, optional
        Counted from 0, for a file with several frames.
    gestational_age_days : int, optional
    result_scope : str
        Scope of the result; see `results.result_names`.
    """

    content: bytes
    pixel_spacing: StatedScale | None
    frame_index: int | None
    result_scope: str = ""
    gestational_age_days: int | None = None

    def to_id(self, pipeline: Pipeline) -> str:
        """Return the id of the result, which is the same for equal questions and models.

        It depends on the versions and the site file, because replicas of two releases or sites may
        share a store: with the same network they can give other millimetres and other warnings.
        """
        digest = hashlib.sha256(self.content)
        facts = (
            self.pixel_spacing,
            self.frame_index or 0,
            self.gestational_age_days,
            pipeline.graph.sha256,
            pipeline.backend.precision,
            pipeline.manifest.version,
            headcirc.__version__,
            pipeline.site and pipeline.site.sha256,
        )
        digest.update(repr(facts).encode())
        return to_scoped_id(digest.digest(), self.result_scope)


class Measurer:
    """The pipeline behind a bounded queue, with the store of results."""

    def __init__(
        self,
        pipeline: Pipeline,
        settings: Settings,
        metrics: Metrics,
        store: Store,
        *,
        record_stages: Callable[[Sequence[Stage]], None] = lambda _: None,
    ) -> None:
        self.pipeline = pipeline
        self.record_stages = record_stages
        self._store = store
        self._ttl_s = settings.result_ttl_s
        self.corrections = Corrections(store, self.find, ttl_s=self._ttl_s)
        self._metrics = metrics
        best_batch = settings.max_batch or choose_batch(pipeline)
        self.batcher = Batcher(
            pipeline.infer,
            best_batch=best_batch,
            wait_s=settings.batch_wait_ms / 1000,
            on_batch=metrics.batch_size.observe,
            run_shared=choose_shared(pipeline),
        )
        self.workers = Workers(
            WORKERS_PER_PICTURE * best_batch,
            capacity=settings.queue_capacity or PLACES_PER_PICTURE * best_batch,
            timeout_s=settings.request_timeout_ms / 1000,
        )
        self.cines = Cines(pipeline, self.batcher, settings, metrics, best_batch=best_batch)
        self.arrivals = Arrivals(self.workers.capacity)
        self.large_files = LargeFiles(settings.max_upload_bytes)
        metrics.queue_depth.set_function(lambda: self.workers.depth + self.arrivals.count)
        self.explanations = Explanations(
            pipeline, settings, metrics, capacity=self.workers.capacity
        )
        places = min(MOST_RENDERERS, WORKERS_PER_PICTURE * best_batch)
        capacity, timeout_s = self.workers.capacity, settings.request_timeout_ms / 1000
        self.renderers = Renderers(places, capacity=capacity, timeout_s=timeout_s)
        # A measurement looks for a kept result first; it must not wait for a drawing.
        self._lookups = Places(places, capacity=capacity, timeout_s=timeout_s)
        self.unread = Unread(settings.unread_max_bytes)
        self._coalescer: RequestCoalescer[StoredAnalysis] = RequestCoalescer(
            capacity=self.workers.capacity
        )
        self._probing: Future[Inference] | None = None
        self.is_shutting_down = False

    def require_ready(self) -> None:
        """Refuse while the service is not ready, with the reason.

        Raises
        ------
        NotReadyError
        """
        if self.is_shutting_down:
            raise NotReadyError("The service is shutting down; it takes no new requests.")
        if self.batcher.failure is not None:
            self._probe()
            # Every caller can read this; the log names the backend and its error.
            raise NotReadyError("The network failed at its last inference; it is tried again.")
        if self.arrivals.are_full:
            raise NotReadyError("The service is at its limit of uploads; try again in a second.")
        if not self.workers.has_capacity:
            raise NotReadyError("The queue is full or does not move; try again in a second.")

    def _probe(self) -> None:
        """Run the network again: while it is not ready, no request would show that it recovered."""
        if self._probing is None or self._probing.done():
            facts = (self.pipeline.backend.name, self.batcher.failure)
            logger.warning("not ready: the backend %s failed (%s); it is tried again", *facts)
            shape = self.pipeline.manifest.input
            blank = np.zeros((1, 1, shape.height_px, shape.width_px), np.float32)
            self._probing = self.workers.submit(lambda ticket: self.batcher.infer(blank, ticket))

    async def answer(
        self, question: Question, wait_until_gone: Callable[[], Awaitable[None]]
    ) -> tuple[StoredAnalysis, bool]:
        """Measure a picture, or return the result of an equal question.

        Parameters
        ----------
        question : Question
        wait_until_gone : callable
            It returns when the client has left.

        Returns
        -------
        stored : StoredAnalysis
        is_new : bool
            False if the result is that of an equal question, from before or at the same time.
        """
        analysis_id = await self._to_id(question)
        with suppress(StoreUnavailableError):  # then it is measured again
            async with self._lookups.take():
                known = await self.find(analysis_id)
            if known is not None:
                return known, False
        known = await self._coalescer.wait_for_equal(analysis_id)
        if known is not None:
            return known, False
        with self._coalescer.announce(analysis_id) as share:
            stored = await self._measure_in_thread(question, analysis_id, wait_until_gone)
            share(stored)
            with suppress(StoreUnavailableError):  # the client still gets its answer
                await self._store.put(analysis_id, stored)
        return stored, True

    async def _measure_in_thread(
        self, question: Question, analysis_id: str, wait_until_gone: Callable[[], Awaitable[None]]
    ) -> StoredAnalysis:
        arrived_s = time.perf_counter()

        def measure(ticket: Ticket) -> tuple[StoredAnalysis, tuple[Stage, ...]]:
            analysis, stages = self._measure(question, ticket, arrived_s)
            body = to_analysis_body(analysis_id, analysis, self.pipeline, ttl_s=self._ttl_s)
            return to_stored(body, analysis), stages

        stored, stages = await self.workers.run(measure, wait_until_gone)
        self.record_stages(stages)
        self._metrics.count_analysis(stored.body.timing_ms, stored.body.quality.warnings)
        return stored

    async def find_scale(
        self, question: Question, wait_until_gone: Callable[[], Awaitable[None]]
    ) -> ScaleProposal:
        """Return the depth scale beside a picture, or that none is certain; nothing is kept."""

        def find(ticket: Ticket) -> ScaleProposal:
            ticket.require_needed()
            frame, found = self.pipeline.find_scale(
                question.content, frame_index=question.frame_index
            )
            return to_scale_proposal(frame, found)

        return await self.workers.run(find, wait_until_gone)

    async def _to_id(self, question: Question) -> str:
        """Return the id of the result; a large file is hashed outside the event loop."""
        if len(question.content) <= QUICKLY_READ_BYTES:
            return question.to_id(self.pipeline)
        # Not `asyncio.to_thread`: its few threads also resolve the address of Redis, and all of
        # them can be waiting for a DNS server that does not answer.
        return await run_in_threadpool(question.to_id, self.pipeline)

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

    def _measure(
        self, question: Question, ticket: Ticket, arrived_s: float
    ) -> tuple[Analysis, tuple[Stage, ...]]:
        began_s = time.perf_counter()
        with self.batcher.announce(ticket):
            prepared = self.pipeline.prepare(
                question.content,
                pixel_spacing=question.pixel_spacing,
                frame_index=question.frame_index,
            )
            inference = self.batcher.infer(prepared.network_input, ticket)
        finishing_s = time.perf_counter()
        analysis = self.pipeline.finish(
            prepared,
            inference.require_prediction(),
            gestational_age_days=question.gestational_age_days,
        )
        timing_ms = {
            **analysis.timing_ms,
            "queue": (began_s - arrived_s + inference.queue_s) * 1000,
            "inference": inference.run_s * 1000,
            "total": (time.perf_counter() - arrived_s) * 1000,
        }
        decode_s, preprocess_s = (timing_ms[name] / 1000 for name in ("decode", "preprocess"))
        stages = (
            Stage("queue", arrived_s, began_s - arrived_s),  # for a thread
            Stage("decode", began_s, decode_s),
            Stage("preprocess", began_s + decode_s, preprocess_s),
            Stage("queue", inference.arrived_s, inference.queue_s),  # for the network
            Stage("inference", inference.arrived_s + inference.queue_s, inference.run_s),
            Stage("postprocess", finishing_s, timing_ms["postprocess"] / 1000),
        )
        return replace(analysis, timing_ms=timing_ms), stages

    def begin_shutdown(self) -> None:
        """Report not ready from now on; requests that still come are answered."""
        self.is_shutting_down = True

    async def close(self) -> None:
        """Finish the work that has started and take no more."""
        self.cines.close()
        await self.workers.close()
        await self.renderers.close()
        await self.explanations.close()
        await self._store.close()


def choose_shared(pipeline: Pipeline) -> Callable[[Array], list[Prediction]] | None:
    """Return what runs the network for two threads at the same time, if that saves time."""
    if pipeline.shared_backend is None:
        return None
    return partial(pipeline.infer, is_alone=False)


def choose_batch(pipeline: Pipeline) -> int:
    """Return the best batch for the device of a pipeline."""
    return CPU_BATCH if pipeline.backend.device == "cpu" else GPU_BATCH
