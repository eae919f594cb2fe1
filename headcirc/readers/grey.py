"""Convert samples of any Pillow mode to 8-bit grey, a block of rows at a time.

An image then takes the memory of its samples and its grey values, not of several copies. Colour
becomes luma (ITU-R 601), alpha is ignored, deeper samples are scaled by the sample that is white.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

STRIP_PIXELS = 200_000
"""Pixels of a block of rows; in colour less than a megabyte, which is reused for the next."""
MAXIMUM_BITS = 16
NARROW_SPAN = 256 // 16
"""Grey values that a sixteenth of a range takes, such as 12 bits of 16."""
EIGHT_BITS = 255


def to_grey(
    image: Image.Image,
    *,
    sample_bits: int = MAXIMUM_BITS,
    significant_bits: int = 0,
    is_white_zero: bool = False,
) -> NDArray[np.uint8]:
    """Return the grey values of an image as it is stored.

    Parameters
    ----------
    image : Image.Image
        In any mode that the accepted formats decode to; this function loads its pixels.
    sample_bits : int
        Bits of each sample in a 16-bit mode.
    significant_bits : int
        Bits of each sample that the file says are used; 0 where it does not say.
    is_white_zero : bool
        In a 16-bit mode, 0 is white.

    Returns
    -------
    (rows, columns) uint8
    """
    image.load()
    is_deep = image.mode.startswith("I;16")
    white = EIGHT_BITS
    if is_deep:
        white = _find_highest_value(image, sample_bits, significant_bits)
    columns, rows = image.size
    pixels = np.empty((rows, columns), np.uint8)
    for top, bottom in _to_strips(rows, columns):
        strip = image.crop((0, top, columns, bottom))
        if is_deep:
            black, highest = (white, 0) if is_white_zero else (0, white)
            pixels[top:bottom] = _scale(np.asarray(strip), black, highest)
        else:
            pixels[top:bottom] = np.asarray(_to_luma(strip))
    return pixels


def is_narrow(pixels: NDArray[np.uint8]) -> bool:
    """Return whether grey values of 16-bit samples span at most a sixteenth of the range."""
    return int(pixels.max()) - int(pixels.min()) <= NARROW_SPAN


def to_luma(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the (rows, columns) uint8 grey values of (rows, columns, 3) uint8 red, green, blue."""
    rows, columns = colours.shape[:2]
    pixels = np.empty((rows, columns), np.uint8)
    for top, bottom in _to_strips(rows, columns):
        pixels[top:bottom] = np.asarray(Image.fromarray(colours[top:bottom]).convert("L"))
    return pixels


def _to_strips(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """Yield the first row and the end of each block of about `STRIP_PIXELS`."""
    step = max(1, STRIP_PIXELS // columns)
    for top in range(0, rows, step):
        yield top, min(top + step, rows)


def _find_highest_value(image: Image.Image, sample_bits: int, significant_bits: int) -> int:
    """Return the highest value that a sample can have.

    Fewer significant bits count only where all samples fit into them: a PNG's writer should have
    scaled the samples up, and then they need all 16 bits.
    """
    if 0 < significant_bits < sample_bits and _find_highest_sample(image) < 2**significant_bits:
        sample_bits = significant_bits
    return int(2**sample_bits - 1)


def _find_highest_sample(image: Image.Image) -> int:
    columns, rows = image.size
    strips = (image.crop((0, top, columns, end)) for top, end in _to_strips(rows, columns))
    return max(int(np.asarray(strip).max()) for strip in strips)


def _scale(samples: NDArray[np.uint16], black: int, white: int) -> NDArray[np.float32]:
    grey = samples.astype(np.float32) - np.float32(black)
    grey *= np.float32(255 / (white - black))
    np.rint(grey, out=grey)
    return grey


def _to_luma(strip: Image.Image) -> Image.Image:
    if strip.mode == "L":
        return strip
    if strip.mode == "1":
        return strip.convert("L")
    if strip.mode == "LA":
        return strip.getchannel("L")
    # Palette and CMYK become colour first. Without alpha, colours stay as they are stored.
    colour = strip.convert("RGBA") if strip.mode == "P" else strip
    return (colour if colour.mode == "RGB" else colour.convert("RGB")).convert("L")
