"""Read the frames of a DICOM file in turn; memory does not grow with their number."""

from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from headcirc.geometry import Frame
from headcirc.readers.dicom.decoders import list_frames
from headcirc.readers.dicom.file import (
    DICOM_DAMAGE,
    open_stream,
    read_number,
    read_value,
    refusing_damaged_dicom,
)
from headcirc.readers.dicom.frame import open_pictures
from headcirc.readers.limits import CountedStream, require_few_frames
from headcirc.readers.reader import ReadOptions
from headcirc.readers.sequence import SequenceFrame

READS_PER_FRAME = 20
"""Reads that a frame needs: two for each fragment to find it, three to read it, a few fragments."""
MS_PER_S = 1000.0


class DicomCine:
    """The frames of a DICOM file; see `headcirc.readers.sequence.FrameSequence`.

    Parameters
    ----------
    stream : BinaryIO
        It stays open for the whole iteration; whoever opened it closes it.
    options : ReadOptions
        The frame index does not matter.

    Raises
    ------
    UnreadableImageError, UnsupportedMediaTypeError, ImageTooLargeError
    """

    def __init__(self, stream: BinaryIO, options: ReadOptions) -> None:
        counted = CountedStream(stream)
        self._pictures = open_pictures(open_stream(cast(BinaryIO, counted)), options)
        self.frames: int | None = self._pictures.layout.frames
        require_few_frames(self._pictures.layout.frames)
        counted.allow(READS_PER_FRAME * self._pictures.layout.frames)
        self._times_ms = read_times_ms(self._pictures.file.header, self._pictures.layout.frames)

    def __iter__(self) -> Iterator[SequenceFrame]:
        """Yield the frames; see `FrameSequence`."""
        pictures = self._pictures
        decoded = list_frames(pictures.file, pictures.layout)
        for index in range(pictures.layout.frames):
            with refusing_damaged_dicom():
                decode = next(decoded, None)
                if decode is None:
                    raise ValueError("There are fewer frames than the header states.")
            times_ms = self._times_ms
            time_ms = None if times_ms is None else times_ms[index]
            yield SequenceFrame(index, time_ms, self._to_read(decode, index))

    def _to_read(self, decode: Callable[[], NDArray[np.uint8]], index: int) -> Callable[[], Frame]:
        def read() -> Frame:
            with refusing_damaged_dicom():
                grey = decode()
            return self._pictures.to_frame(grey, index)

        return read

    def close(self) -> None:
        """Do nothing: the stream belongs to the caller."""


def read_times_ms(header: Dataset, frames: int) -> list[float] | None:
    """Return when each frame was recorded, from the first one on; None where nothing says.

    Frame Time Vector comes first, then Frame Time, then the rates at which the device recorded and
    recommends to show (DICOM PS3.3, C.7.6.5). A value that cannot be true counts as not stated.
    """
    try:
        steps = read_value(header, "FrameTimeVector")
        if steps is not None and not isinstance(steps, str) and len(steps) == frames:
            steps_ms = [float(each) for each in steps]
        else:
            steps_ms = [0.0] + [_read_step_ms(header)] * (frames - 1)
        times_ms = np.cumsum(steps_ms)
    except DICOM_DAMAGE:
        return None
    is_possible = bool(np.isfinite(times_ms).all()) and all(each >= 0 for each in steps_ms)
    return [float(each) for each in times_ms] if is_possible else None


def _read_step_ms(header: Dataset) -> float:
    """Return the time from one frame to the next; ValueError where nothing states it."""
    stated_ms = read_number(header, "FrameTime")
    if stated_ms:
        return stated_ms
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        rate = read_number(header, keyword)
        if rate:
            return MS_PER_S / rate
    raise ValueError("Nothing states the time between frames.")
