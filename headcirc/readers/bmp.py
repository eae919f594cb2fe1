"""Read BMP files: OpenCV decodes those with a palette, Pillow the others."""

import struct

import cv2
from PIL.BmpImagePlugin import BmpImageFile

from headcirc.geometry import Frame
from headcirc.readers.grey import to_grey
from headcirc.readers.limits import CountedFile, require_accepted_size
from headcirc.readers.reader import ReadOptions
from headcirc.readers.still_image import (
    decode_with_opencv,
    refusing_damage,
    refusing_damaged_header,
    require_single_image,
    to_frame,
)

NAME = "BMP"
SUFFIXES: tuple[str, ...] = (".bmp",)
RUN_LENGTH_ENCODED = (1, 2)
"""Compressions: run-length encoding of 8 and of 4 bits."""
PIXELS_START_AT, HEADER_AT, BITS_AT, COLOURS_AT = 10, 14, 28, 46
OS2_HEADER_BYTES = 12
MOST_COLOURS = 256
SHORTEST_LITERAL = 3
"""From this number on, so many pixels follow one by one; smaller numbers end or skip something."""
MAXIMUM_PALETTE_BITS = 8


def recognises(content: bytes) -> bool:
    """Return whether the content starts like a BMP file."""
    return content.startswith(b"BM")


def read(content: bytes, options: ReadOptions) -> Frame:
    """Return the frame of a BMP file; see `headcirc.readers.decode.decode_frame`."""
    with refusing_damaged_header(NAME):
        image = BmpImageFile(CountedFile(content))
    require_accepted_size(image.size, options.maximum_pixels)
    with refusing_damage(NAME):
        require_single_image(NAME, 1, options.frame_index)
        _require_whole(image, content)
        if _has_palette(content):
            pixels = decode_with_opencv(content, cv2.IMREAD_GRAYSCALE)
        else:
            pixels = to_grey(image)
    return to_frame(pixels, options)


def _require_whole(image: BmpImageFile, content: bytes) -> None:
    """Refuse a BMP without some of its colours or pixels, in the cases that decoders miss.

    OpenCV finds some of them, but reports them on the standard error stream.
    """
    missing = 0
    if image.info.get("compression") in RUN_LENGTH_ENCODED:
        missing = count_missing_pixels(content, image.width * image.height)
    elif _has_palette(content):
        row_bytes = (image.width * content[BITS_AT] + 31) // 32 * 4
        missing = image.tile[0].offset + row_bytes * image.height - len(content)
    if _has_palette(content):
        (header_bytes,) = struct.unpack_from("<I", content, HEADER_AT)
        (stated,) = struct.unpack_from("<I", content, COLOURS_AT)
        colours = stated or 2 ** content[BITS_AT]
        if colours > MOST_COLOURS or HEADER_AT + header_bytes + 4 * colours > len(content):
            raise ValueError("Colours are missing.")
    if missing > 0:
        raise ValueError(f"{missing} pixels or bytes are missing.")


def count_missing_pixels(content: bytes, pixels: int) -> int:
    """Return how many of a BMP's pixels its run-length encoded data leave out."""
    (at,) = struct.unpack_from("<I", content, PIXELS_START_AT)
    bits, missing = content[BITS_AT], pixels
    while missing > 0:
        length, value = content[at], content[at + 1]
        at += 2
        if length == 0 and value >= SHORTEST_LITERAL:
            length, at = value, at + (value * bits + 15) // 16 * 2
        elif length == 0 and value > 0:  # 0 ends a line
            break
        missing -= length
    return missing


def _has_palette(content: bytes) -> bool:
    """Return whether a BMP has 8 bits a pixel or fewer.

    Pillow decodes their runs byte by byte in Python, and reads two colours in 8 bits as one bit.
    The short header of OS/2 is left to Pillow.
    """
    is_short = content[HEADER_AT] == OS2_HEADER_BYTES
    return not is_short and 0 < content[BITS_AT] <= MAXIMUM_PALETTE_BITS
