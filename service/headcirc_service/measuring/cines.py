"""Measure cines beside the pictures: a few at a time, frame by frame through the same batcher.

A cine takes much longer than a picture. So it has a thread and a time limit of its own, and only
its frames wait in line with pictures. Lines are made when they are asked for: a client that reads
slowly slows its own cine down, and no memory grows.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from headcirc.cine.answers import CineFrame, CineLine
from headcirc.cine.lines import measure_cine
from headcirc.geometry import StatedScale
from headcirc.model.prediction import Prediction
from headcirc.pipeline import Pipeline
from headcirc_service.admission.batcher import Batcher
from headcirc_service.admission.renderers import Places
from headcirc_service.admission.workers import Ticket
from headcirc_service.errors import ClientLeftError, NotReadyError
from headcirc_service.settings import Settings
from headcirc_service.telemetry.metrics import Metrics

MOST_CINES = 2
"""Cines at work; each holds some tens of megabytes, and a video a process."""
MOST_WAITING = 4
PART_S = 0.1
"""Lines of so much time are sent together."""
CLIENT_LEFT = "The client left before its cine was measured."
SHUT_DOWN = "The service shuts down; send the cine again."


@dataclass(frozen=True)
class CineQuestion:
    """A cine, with the facts that its sender states.

    Attributes
    ----------
    streams : sequence of BinaryIO
        The uploaded files.
    pixel_spacing : PixelSpacing or ScaleMarks, optional
    """

    streams: Sequence[BinaryIO]
    pixel_spacing: StatedScale | None


class CineStream:
    """The lines of a cine, some at a time; used by one request.

    Parameters
    ----------
    lines : generator of CineLine
        It runs in a thread of this stream.
    ticket : Ticket
        Without its client, or after its deadline, the network takes no further frame.
    """

    def __init__(self, lines: Generator[CineLine], ticket: Ticket) -> None:
        self._lines = lines
        self._ticket = ticket
        self._thread = ThreadPoolExecutor(1, "cine")
        self._first: list[CineLine] = []

    async def begin(self, wait_until_gone: Callable[[], Awaitable[None]]) -> None:
        """Measure the first frame, so that what cannot be measured is refused.

        Raises
        ------
        InputError, InferenceError, ServiceError
        """
        self._first = await self._take(2, wait_until_gone)

    async def read(self, wait_until_gone: Callable[[], Awaitable[None]]) -> list[CineLine]:
        """Return the next lines; none after the summary.

        Raises
        ------
        InputError, InferenceError, ServiceError
        """
        if self._first:
            first, self._first = self._first, []
            return first
        return await self._take(None, wait_until_gone)

    async def _take(
        self, count: int | None, wait_until_gone: Callable[[], Awaitable[None]]
    ) -> list[CineLine]:
        loop = asyncio.get_running_loop()
        working = loop.run_in_executor(self._thread, self._pull, count)
        gone = asyncio.ensure_future(wait_until_gone())
        watched: list[asyncio.Future[Any]] = [working, gone]
        try:
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                self._ticket.has_client = False
                raise ClientLeftError(CLIENT_LEFT)
            return working.result()
        finally:
            gone.cancel()
            working.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _pull(self, count: int | None) -> list[CineLine]:
        """Return so many lines, or those of a short time."""
        pulled: list[CineLine] = []
        until_s = time.perf_counter() + PART_S
        for line in self._lines:
            self._ticket.require_needed()
            pulled.append(line)
            if len(pulled) == count or (count is None and time.perf_counter() >= until_s):
                break
        return pulled

    async def close(self) -> None:
        """Stop the work, and wait until its threads and processes have ended."""
        self._ticket.has_client = False
        loop = asyncio.get_running_loop()
        closing = loop.run_in_executor(self._thread, self._lines.close)
        self._thread.shutdown(wait=False)
        await asyncio.shield(closing)  # the thread ends, also if this request is cancelled


class Cines:
    """Measures cines; see the module.

    Parameters
    ----------
    pipeline : Pipeline
    batcher : Batcher
        It has the network.
    settings : Settings
    metrics : Metrics
    best_batch : int
        Frames of a cine that wait for the network together.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        batcher: Batcher,
        settings: Settings,
        metrics: Metrics,
        *,
        best_batch: int,
    ) -> None:
        self._pipeline = pipeline
        self._batcher = batcher
        self._metrics = metrics
        self._best_batch = best_batch
        self._timeout_s = settings.cine_timeout_ms / 1000
        self._places = Places(
            MOST_CINES, capacity=MOST_WAITING, timeout_s=settings.request_timeout_ms / 1000
        )
        self._is_shutting_down = False

    @asynccontextmanager
    async def open(self, question: CineQuestion) -> AsyncIterator[CineStream]:
        """Hold a place and give the lines of a cine; everything has ended after the block.

        Raises
        ------
        OverloadedError, RequestTimeoutError
            No place, now or in time.
        NotReadyError
        """
        async with self._places.take():
            if self._is_shutting_down:
                raise NotReadyError(SHUT_DOWN)
            ticket = Ticket(time.perf_counter() + self._timeout_s)
            lines = measure_cine(
                self._pipeline,
                question.streams,
                pixel_spacing=question.pixel_spacing,
                infer=lambda inputs: self._infer(inputs, ticket),
                batch=self._best_batch,
            )
            stream = CineStream(lines, ticket)
            try:
                yield stream
            finally:
                await stream.close()

    def _infer(
        self, network_inputs: Sequence[NDArray[np.float32]], ticket: Ticket
    ) -> list[Prediction]:
        if self._is_shutting_down:
            raise NotReadyError(SHUT_DOWN)
        done = self._batcher.infer_all(network_inputs, ticket)
        for each in done:
            self._metrics.stage_duration.labels("queue").observe(each.queue_s)
            self._metrics.stage_duration.labels("inference").observe(each.run_s)
        return [each.require_prediction() for each in done]

    def count(self, lines: Sequence[CineLine]) -> None:
        """Count what was measured."""
        for line in lines:
            if isinstance(line, CineFrame):
                warnings = () if line.quality is None else line.quality.warnings
                self._metrics.count_cine_frame(_to_outcome(line), warnings)

    def count_fault(self, code: str) -> None:
        """Count a cine that ended early, by its code."""
        self._metrics.count_refusal(code)

    def close(self) -> None:
        """Take no further frame; cines at work end with an error line."""
        self._is_shutting_down = True


def _to_outcome(frame: CineFrame) -> str:
    if frame.error is not None:
        return "unreadable"
    if frame.head is None:
        return "no-head"
    return "acceptable" if frame.is_acceptable else "not-acceptable"
