"""Read WebP files: Pillow reads the header, OpenCV the pixels.

Pillow's decoder takes four times the memory of OpenCV's.
"""

import struct

import cv2
from PIL.Image import DecompressionBombError
from PIL.WebPImagePlugin import WebPImageFile

from headcirc.errors import ImageTooLargeError
from headcirc.geometry import Frame
from headcirc.readers.limits import CountedFile, require_accepted_size
from headcirc.readers.orientation import find_orientation
from headcirc.readers.reader import ReadOptions
from headcirc.readers.still_image import (
    decode_with_opencv,
    refusing_damage,
    refusing_damaged_header,
    require_single_image,
    to_frame,
)

NAME = "WEBP"
SUFFIXES: tuple[str, ...] = (".webp",)
SIDE_BITS = 14
"""A side in the header of a single image, less one if it is lossless."""


def recognises(content: bytes) -> bool:
    """Return whether the content starts like a WebP file."""
    return content.startswith(b"WEBP", 8)


def read(content: bytes, options: ReadOptions) -> Frame:
    """Return the frame of a WebP file; see `headcirc.readers.decode.decode_frame`."""
    with refusing_damaged_header(NAME):
        # Pillow allocates all pixels when it opens the file.
        require_accepted_size(read_size(content), options.maximum_pixels)
        image = _open(content)
    require_accepted_size(image.size, options.maximum_pixels)
    with refusing_damage(NAME):
        require_single_image(NAME, image.n_frames, options.frame_index)
        orientation = find_orientation(image.info.get("exif", b""), image.info.get("xmp", b""))
        pixels = decode_with_opencv(content, cv2.IMREAD_GRAYSCALE)
    return to_frame(pixels, options, orientation=orientation)


def read_size(content: bytes) -> tuple[int, int]:
    """Return the columns and rows that the first chunk states (RFC 9649).

    Raises
    ------
    ValueError, struct.error
        The header is damaged or cut off.
    """
    chunk = content[12:16]
    if chunk == b"VP8X":
        columns, rows = (int.from_bytes(content[at : at + 3], "little") for at in (24, 27))
        return columns + 1, rows + 1
    mask = 2**SIDE_BITS - 1
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return (bits & mask) + 1, (bits >> SIDE_BITS & mask) + 1
    if chunk == b"VP8 ":
        columns, rows = struct.unpack_from("<HH", content, 26)
        return columns & mask, rows & mask
    raise ValueError("No image in the first chunk.")


def _open(content: bytes) -> WebPImageFile:
    try:
        return WebPImageFile(CountedFile(content))
    except DecompressionBombError as error:  # Pillow's own limit, which the process may have set
        raise ImageTooLargeError(
            "The WebP has more pixels than can be read. Send the ultrasound frame alone."
        ) from error
