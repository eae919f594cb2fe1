"""What the readers of still images share: decoding with OpenCV, damage, frame and calibration."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.errors import InvalidFrameError, UnreadableImageError
from headcirc.geometry import FROM_REQUEST, CalibratedRegion, Frame
from headcirc.readers.orientation import turn_upright
from headcirc.readers.reader import ReadOptions

DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    LookupError,
    TypeError,
    AttributeError,
)
"""What Pillow's decoders raise on damaged files; it has no common base for them."""


@contextmanager
def refusing_damaged_header(name: str) -> Iterator[None]:
    """Turn what Pillow raises on a header that it cannot read into an UnreadableImageError."""
    try:
        yield
    except DAMAGE as error:
        raise UnreadableImageError(
            f"The file begins as {name} but its header is damaged, or of a kind that is not read "
            "here; send the complete file, or save it again as PNG."
        ) from error


@contextmanager
def refusing_damage(name: str) -> Iterator[None]:
    """Turn what a decoder raises on a damaged file into an UnreadableImageError."""
    try:
        yield
    except DAMAGE as error:
        raise UnreadableImageError(
            f"The {name} file is damaged or cut off; send the complete file. If other programs "
            "show all of the picture, save it again as PNG."
        ) from error


def require_single_image(name: str, images: int, frame_index: int | None) -> None:
    """Refuse a file of several images, and any frame but the first.

    Raises
    ------
    InvalidFrameError
    """
    if images > 1:
        raise InvalidFrameError(
            f"The {name} file holds {images:,} pictures; send the one to measure as a "
            "file of its own."
        )
    if frame_index not in (None, 0):
        raise InvalidFrameError(f"Frame {frame_index} was asked for; the file holds 1, number 0.")


def decode_with_opencv(content: bytes, channels: int) -> NDArray[np.uint8]:
    """Return the stored pixels, as `IMREAD_GRAYSCALE` or `IMREAD_COLOR_RGB`, without turning them.

    Raises
    ------
    ValueError
        OpenCV cannot decode the content.
    """
    as_stored = channels | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), as_stored)
    if pixels is None:
        raise ValueError("The compressed data do not fill the image.")
    return np.asarray(pixels, np.uint8)


def to_frame(
    stored: NDArray[np.uint8],
    options: ReadOptions,
    *,
    orientation: int = 1,
    has_narrow_range: bool = False,
) -> Frame:
    """Turn stored pixels upright and return the frame; a stated pixel spacing applies to all of it.

    Parameters
    ----------
    stored : (rows, columns) uint8
        As the file stores them.
    options : ReadOptions
    orientation : int
        EXIF orientation, 1 to 8.
    has_narrow_range : bool
        See `Frame`.
    """
    pixels = turn_upright(stored, orientation)
    regions: tuple[CalibratedRegion, ...] = ()
    if options.pixel_spacing is not None:
        rows, columns = pixels.shape
        spacing = options.pixel_spacing
        regions = (CalibratedRegion(0, 0, columns - 1, rows - 1, spacing, FROM_REQUEST),)
    return Frame(pixels, regions, has_narrow_range, orientation)
