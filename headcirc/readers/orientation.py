"""Find the orientation that EXIF or XMP states, and turn an image upright."""

import re
import struct

import numpy as np
from numpy.typing import NDArray

from headcirc.readers.tiff_directory import find_number

ORIENTATION = 0x0112
"""EXIF's tag; its values are 1 to 8."""
EXIF_MARK = re.compile(rb"(?:Exif\0\0){0,2}")
XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=\"|>)([0-9])")


def find_orientation(exif: bytes = b"", xmp: bytes = b"") -> int:
    """Return the stated orientation, 1 to 8; 1 where none is stated or none can be read.

    EXIF comes first. XMP counts where a readable EXIF block, or none, states no orientation.
    """
    block = EXIF_MARK.sub(b"", exif, count=1)
    try:
        stated = find_number(block, ORIENTATION) if block else None
    except (ValueError, struct.error):
        return 1
    if stated is None and (found := XMP_ORIENTATION.search(xmp)):
        stated = int(found[1])
    return stated if stated is not None and stated in range(1, 9) else 1


def turn_upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return stored pixels turned and mirrored as EXIF's orientation says."""
    if orientation > 4:  # noqa: PLR2004 - 5 to 8 are 1 to 4 with rows and columns exchanged
        pixels = pixels.T
    row_step = -1 if orientation in (3, 4, 7, 8) else 1
    column_step = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::row_step, ::column_step])
