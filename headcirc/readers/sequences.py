"""Open a cine, a video or a list of pictures as a sequence of frames.

The first bytes say what a file is, never its name.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import BinaryIO

from headcirc.errors import UnreadableImageError
from headcirc.geometry import Frame
from headcirc.readers import dicom, video
from headcirc.readers.decode import decode_frame
from headcirc.readers.limits import require_few_frames
from headcirc.readers.reader import ReadOptions
from headcirc.readers.sequence import FrameSequence, SequenceFrame
from headcirc.readers.video.decoder import VideoSequence

START_BYTES = dicom.MARK_AT + len(dicom.MARK)
"""So many first bytes show what a file is."""


class PictureList:
    """Pictures, a file each; see `headcirc.readers.sequence.FrameSequence`.

    Parameters
    ----------
    streams : sequence of BinaryIO
        They belong to the caller.
    options : ReadOptions
        The stated pixel size holds for every picture.
    """

    def __init__(self, streams: Sequence[BinaryIO], options: ReadOptions) -> None:
        self._streams = streams
        self._options = options
        self.frames: int | None = len(streams)
        require_few_frames(len(streams))

    def __iter__(self) -> Iterator[SequenceFrame]:
        """Yield the pictures; see `FrameSequence`."""
        for index, stream in enumerate(self._streams):
            yield SequenceFrame(index, None, partial(self._read, stream))

    def _read(self, stream: BinaryIO) -> Frame:
        stream.seek(0)
        return decode_frame(
            stream.read(),
            pixel_spacing=self._options.pixel_spacing,
            maximum_pixels=self._options.maximum_pixels,
        )

    def close(self) -> None:
        """Do nothing: the streams belong to the caller."""


def open_sequence(streams: Sequence[BinaryIO], options: ReadOptions) -> FrameSequence:
    """Open one cine or video, or several pictures.

    Parameters
    ----------
    streams : sequence of BinaryIO
        Open files that can be read from any place; one of a DICOM file, an MP4 or an AVI, or one
        for each picture. They must stay open until the sequence is closed.
    options : ReadOptions
        The frame index does not matter.

    Raises
    ------
    UnreadableImageError, UnsupportedMediaTypeError, ImageTooLargeError
        Also while it is iterated; see `FrameSequence`.
    """
    if not streams:
        raise UnreadableImageError("No frame was given; send a cine, a video or pictures.")
    if len(streams) > 1:
        return PictureList(streams, options)
    (stream,) = streams
    stream.seek(0)
    start = stream.read(START_BYTES)
    stream.seek(0)
    if dicom.recognises(start):
        return dicom.open_cine(stream, options)
    if video.recognises(start):
        return VideoSequence(stream, options)
    return PictureList(streams, options)
