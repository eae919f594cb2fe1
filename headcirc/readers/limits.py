"""Limits on the size of an image and on the number of elements in its file."""

import io
from typing import BinaryIO

from headcirc.errors import ImageTooLargeError

DEFAULT_MAXIMUM_PIXELS = 40_000_000
"""A frame of this many pixels takes 40 MB; HC18's have 432,000."""
MAXIMUM_SIDE_PX = 32_766
"""The longest side that OpenCV's `remap` accepts, which draws the network's input."""
MAXIMUM_FRAMES = 10_000
"""Frames of one cine; at 30 a second they take more than five minutes."""
MAXIMUM_ELEMENTS = 50_000
"""Chunks, segments, strips, tiles or directories of one file; an ordinary file of 10 MB has a few
thousand. Pillow reads them in Python, some microseconds each: 10 MB of empty chunks take seconds,
10 MB of one-pixel tiles a minute."""


class CountedFile(io.BytesIO):
    """A file in memory that refuses more than `MAXIMUM_ELEMENTS` reads.

    Pillow reads a PNG chunk in three reads.
    """

    _reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes.

        Raises
        ------
        ImageTooLargeError
        """
        self._reads += 1
        require_few(self._reads)
        return super().read(size)


class CountedStream:
    """A stream that refuses more reads than its file can need; `CountedFile` without a copy.

    Parameters
    ----------
    stream : BinaryIO
        It can be read from any place.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._reads = self._allowed = 0

    def allow(self, reads: int) -> None:
        """Allow further reads, once it is known how much the file holds."""
        self._allowed += reads

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes.

        Raises
        ------
        ImageTooLargeError
        """
        self._reads += 1
        require_few(self._reads - self._allowed)
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to another place."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._stream.tell()


def require_few(elements: int) -> None:
    """Refuse a file with more elements than an image needs; raises ImageTooLargeError."""
    if elements > MAXIMUM_ELEMENTS:
        raise ImageTooLargeError(
            f"The file is in more than {MAXIMUM_ELEMENTS:,} pieces (chunks, segments, strips or "
            "tiles), which no picture needs. Save it again, for instance as PNG."
        )


def require_few_frames(frames: int) -> None:
    """Refuse a cine of more frames than are measured at once; raises ImageTooLargeError."""
    if frames > MAXIMUM_FRAMES:
        raise ImageTooLargeError(
            f"The file holds {frames:,} frames; at most {MAXIMUM_FRAMES:,} are measured at once. "
            "Cut it into shorter ones."
        )


def require_accepted_size(size: tuple[int, int], maximum_pixels: int) -> None:
    """Refuse an image of too many pixels or with too long a side.

    Parameters
    ----------
    size : (columns, rows)
        As the file's header states it.
    maximum_pixels : int
        The largest accepted number of pixels.

    Raises
    ------
    ImageTooLargeError
    """
    columns, rows = size
    if columns * rows > maximum_pixels or max(columns, rows) > MAXIMUM_SIDE_PX:
        raise ImageTooLargeError(
            f"The picture is {columns} x {rows} pixels; at most {maximum_pixels:,} pixels, and "
            f"{MAXIMUM_SIDE_PX:,} on a side, are accepted. Send the ultrasound frame alone."
        )
