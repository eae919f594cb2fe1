"""Measure a cine from its files to the lines of its answer."""

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import BinaryIO

from headcirc.answers import to_now_text
from headcirc.cine.answers import CineFrame, CineLine, to_cine_frame, to_cine_start
from headcirc.cine.summary import summarise_track
from headcirc.cine.track import BATCH, Infer, measure_track
from headcirc.errors import UnreadableImageError
from headcirc.geometry import PixelSpacing, ScaleMarks, StatedScale
from headcirc.pipeline import Pipeline, Stopwatch
from headcirc.readers.reader import ReadOptions
from headcirc.readers.sequences import open_sequence


def measure_cine(
    pipeline: Pipeline,
    streams: Sequence[BinaryIO],
    *,
    pixel_spacing: StatedScale | None = None,
    infer: Infer | None = None,
    batch: int = BATCH,
) -> Generator[CineLine]:
    """Measure all frames of a cine, a video or a list of pictures.

    Parameters
    ----------
    pipeline : Pipeline
    streams : sequence of BinaryIO
        See `headcirc.readers.sequences.open_sequence`.
    pixel_spacing : PixelSpacing or ScaleMarks, optional
        Of all frames.
    infer : callable, optional
        By default the pipeline's network.
    batch : int
        Frames in one inference.

    Yields
    ------
    CineLine
        A start, a line for each frame in turn, and a summary. Close the iterator to stop earlier.

    Raises
    ------
    InputError
        The file or its first frame cannot be measured: before the start. The file is cut off, or
        the stated pixel size is not the file's: perhaps later.
    InferenceError
    """
    watch = Stopwatch()
    spacing = pixel_spacing if isinstance(pixel_spacing, PixelSpacing) else None
    marks = pixel_spacing if isinstance(pixel_spacing, ScaleMarks) else None
    options = ReadOptions(spacing, maximum_pixels=pipeline.maximum_pixels)
    frames: list[CineFrame] = []
    with closing(open_sequence(streams, options)) as sequence:
        track = measure_track(pipeline, sequence, marks=marks, infer=infer, batch=batch)
        with closing(track):
            for tracked in track:
                if not frames:
                    yield to_cine_start(pipeline, frames=sequence.frames, created=to_now_text())
                frames.append(to_cine_frame(tracked))
                yield frames[-1]
        if not frames:
            raise UnreadableImageError("The file holds no frame; send the complete file.")
        yield summarise_track(frames, announced=sequence.frames, duration_ms=watch.lap_ms())
