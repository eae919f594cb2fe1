"""Measure frame after frame, while later frames are already decoded and in the network.

Three threads: one decodes and prepares, one runs the network on what is ready (several frames
together), and the caller's finishes each frame when it asks for it. The channels between them hold
a few megabytes, so memory depends on the size of a frame and never on their number.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread

import numpy as np
from numpy.typing import NDArray

from headcirc.cine.channel import Channel, ChannelClosedError
from headcirc.errors import InputError
from headcirc.geometry import ScaleMarks
from headcirc.model.prediction import Prediction
from headcirc.pipeline import Analysis, Pipeline, Prepared
from headcirc.readers.sequence import FrameSequence, SequenceFrame

Infer = Callable[[Sequence[NDArray[np.float32]]], Sequence[Prediction]]
"""Runs the network on some inputs of (1, 1, h, w)."""
BATCH = 4
"""Frames in one inference."""
CHANNEL_BYTES = 6_000_000
"""Frames that wait between two threads; one of 800x540 takes 0.7 MB with its network input."""


@dataclass(frozen=True)
class TrackedFrame:
    """One frame of a cine: measured, or why it cannot be read.

    Attributes
    ----------
    index : int
    time_ms : float or None
        From the first frame on.
    analysis : Analysis or None
        With the frame's pixels; whoever keeps it keeps them.
    error : InputError or None
        Only of this frame; the others go on.
    """

    index: int
    time_ms: float | None
    analysis: Analysis | None
    error: InputError | None = None


@dataclass(frozen=True)
class _Work:
    """A frame on its way; without a prediction it could not be read, or is still to be inferred."""

    frame: SequenceFrame
    prepared: Prepared | None = None
    prediction: Prediction | None = None
    error: InputError | None = None

    @property
    def size_bytes(self) -> int:
        if self.prepared is None:
            return 0
        inferred = self.prepared.network_input.nbytes
        return self.prepared.frame.pixels.nbytes + inferred


class _Failure:
    """An error of a thread, which the caller raises when its turn comes."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


Passed = _Work | _Failure


def measure_track(
    pipeline: Pipeline,
    sequence: FrameSequence,
    *,
    marks: ScaleMarks | None = None,
    infer: Infer | None = None,
    batch: int = BATCH,
) -> Generator[TrackedFrame]:
    """Measure the frames of a sequence in turn; close the iterator to stop the threads.

    Parameters
    ----------
    pipeline : Pipeline
    sequence : FrameSequence
        It is iterated in a thread of its own. The caller closes it, after the iterator.
    marks : ScaleMarks, optional
        The pixel size is found by the depth scale of each frame, where the file states none.
    infer : callable, optional
        By default the pipeline's network.
    batch : int
        Frames in one inference.

    Yields
    ------
    TrackedFrame

    Raises
    ------
    InputError
        The first frame cannot be read, the file is cut off here, or the stated pixel size is not
        that of the file.
    InferenceError
    """
    run = infer or _to_infer(pipeline)
    prepared: Channel[Passed] = Channel(CHANNEL_BYTES)
    inferred: Channel[Passed] = Channel(CHANNEL_BYTES)
    threads = (
        Thread(target=_guard, args=(_prepare, prepared, pipeline, sequence, marks)),
        Thread(target=_guard, args=(_infer, inferred, prepared, run, batch)),
    )
    for each in threads:
        each.start()
    try:
        while True:
            try:
                (done,) = inferred.take()
            except ChannelClosedError:
                return
            if isinstance(done, _Failure):
                raise done.error
            yield _finish(pipeline, done)
    finally:
        prepared.stop()
        inferred.stop()
        for each in threads:
            each.join()


def _to_infer(pipeline: Pipeline) -> Infer:
    def infer(network_inputs: Sequence[NDArray[np.float32]]) -> Sequence[Prediction]:
        alone = len(network_inputs) == 1
        return pipeline.infer(network_inputs[0] if alone else np.concatenate(network_inputs))

    return infer


def _guard(work: Callable[..., None], output: Channel[Passed], *arguments: object) -> None:
    """Do a thread's work; pass its error on, and end its channel."""
    try:
        work(output, *arguments)
    except ChannelClosedError:
        pass
    except BaseException as error:
        with suppress(ChannelClosedError):
            output.put(_Failure(error), 0)
    finally:
        output.end()


def _prepare(
    output: Channel[Passed],
    pipeline: Pipeline,
    sequence: FrameSequence,
    marks: ScaleMarks | None,
) -> None:
    """Decode the frames and make the network's inputs."""
    for number, frame in enumerate(sequence):
        try:
            work = _Work(frame, pipeline.prepare_frame(frame.read(), marks=marks))
        except InputError as error:
            if number == 0:  # most likely the whole file, or what is stated about it
                raise
            work = _Work(frame, error=error)
        output.put(work, work.size_bytes)


def _infer(output: Channel[Passed], prepared: Channel[Passed], infer: Infer, batch: int) -> None:
    """Run the network on what is ready, in order."""
    while True:
        try:
            passed = prepared.take(batch)
        except ChannelClosedError:
            return
        waiting = [each for each in passed if isinstance(each, _Work) and each.prepared is not None]
        inputs = [each.prepared.network_input for each in waiting if each.prepared is not None]
        predictions = iter(infer(inputs)) if inputs else iter(())
        for each in passed:
            if isinstance(each, _Work) and each.prepared is not None:
                done = _Work(each.frame, each.prepared, next(predictions))
                output.put(done, done.size_bytes)
            else:
                output.put(each, 0)


def _finish(pipeline: Pipeline, work: _Work) -> TrackedFrame:
    index, time_ms = work.frame.index, work.frame.time_ms
    if work.prepared is None or work.prediction is None:
        return TrackedFrame(index, time_ms, None, work.error)
    return TrackedFrame(index, time_ms, pipeline.finish(work.prepared, work.prediction))
