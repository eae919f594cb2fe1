"""Samples of any mode to 8-bit grey, a strip of rows at a time.

So a picture costs its samples and its grey values, not several copies of all of them. Colour
becomes luma (ITU-R 601), alpha is ignored, deeper samples are scaled by what is white. This module
does not know files.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImagePalette, TiffImagePlugin
from PIL.TiffImagePlugin import TiffImageFile

from headcirc.errors import UnsupportedMediaTypeError

STRIP_PIXELS = 200_000
"""In colour less than a megabyte, whose memory is had again from strip to strip."""
MAXIMUM_BITS = 16
NARROW_SPAN = 256 // 16
"""Grey values that a sixteenth of a range takes, such as 12 bits of 16."""
MAXIMUM_SAMPLE = 281
"""TIFF's MaxSampleValue."""
EIGHT_BITS = 255
UNSIGNED = {1}
"""Value of TIFF's SampleFormat, one number for each channel."""
UNCOMPRESSED, PLANES_APART, LOWEST_BIT_FIRST, WHITE_IS_ZERO = 1, 2, 2, 0
"""Values of TIFF's Compression, PlanarConfiguration, FillOrder and PhotometricInterpretation."""


def to_grey(image: Image.Image, *, significant_bits: int = 0) -> NDArray[np.uint8]:
    """Return the grey values of a picture as it is stored.

    Parameters
    ----------
    image : Image.Image
        In any mode that the accepted formats decode to; decoded here, unless it is.
    significant_bits : int
        Of each deep sample, as the file states; 0 where it does not. A TIFF's own tag is read here.

    Returns
    -------
    (rows, columns) uint8

    Raises
    ------
    UnsupportedMediaTypeError
        Where white and black would be a guess.
    """
    _require_known_samples(image)
    if isinstance(image, TiffImageFile) and image.mode == "P":
        _widen_palette(image)
    image.load()
    is_deep = image.mode.startswith("I;16")
    black, white = _find_black_and_white(image, significant_bits) if is_deep else (0, EIGHT_BITS)
    columns, rows = image.size
    pixels = np.empty((rows, columns), np.uint8)
    for top, bottom in _to_strips(rows, columns):
        strip = image.crop((0, top, columns, bottom))
        if is_deep:
            pixels[top:bottom] = _scale(np.asarray(strip), black, white)
        else:
            pixels[top:bottom] = np.asarray(_to_luma(strip))
    return pixels


def to_luma(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the (rows, columns) uint8 grey values of (rows, columns, 3) uint8 red, green, blue."""
    rows, columns = colours.shape[:2]
    pixels = np.empty((rows, columns), np.uint8)
    for top, bottom in _to_strips(rows, columns):
        pixels[top:bottom] = np.asarray(Image.fromarray(colours[top:bottom]).convert("L"))
    return pixels


def _to_strips(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """Yield first row and end of each strip of about `STRIP_PIXELS`."""
    step = max(1, STRIP_PIXELS // columns)
    for top in range(0, rows, step):
        yield top, min(top + step, rows)


def _require_known_samples(image: Image.Image) -> None:
    is_plain = image.mode not in ("I", "F", "La")
    if isinstance(image, TiffImageFile):
        tags = image.tag_v2
        is_plain &= TiffImagePlugin.PHOTOMETRIC_INTERPRETATION in tags
        is_plain &= set(tags.get(TiffImagePlugin.SAMPLEFORMAT, UNSIGNED)) == UNSIGNED
        is_plain &= not _is_misread(tags)
    if not is_plain:
        raise UnsupportedMediaTypeError(
            "The TIFF's samples are signed, fractions, of 32 bits, multiplied by alpha or in bare "
            "planes of a rare kind, or it does not say whether 0 is black; 1 to 16 bits, unsigned, "
            "are accepted. Save it as PNG."
        )


def _is_misread(tags: TiffImagePlugin.ImageFileDirectory_v2) -> bool:
    """Tell whether Pillow takes a TIFF's planes for another kind than they are.

    Uncompressed planes it reads as 8 bits, the highest first and 0 for black, whatever the tags
    say: 16 bits become a picture of half the width, stretched, with stripes.
    """
    return (
        tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == PLANES_APART
        and tags.get(TiffImagePlugin.COMPRESSION, UNCOMPRESSED) == UNCOMPRESSED
        and (
            set(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))) != {8}
            or tags.get(TiffImagePlugin.FILLORDER) == LOWEST_BIT_FIRST
            or tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO
        )
    )


def is_narrow(pixels: NDArray[np.uint8]) -> bool:
    """Tell whether grey values made of 16-bit samples span a sixteenth of the range, or less."""
    return int(pixels.max()) - int(pixels.min()) <= NARROW_SPAN


def count_sample_bits(image: TiffImageFile) -> int:
    """Return the bits that a TIFF has for each sample."""
    return int(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))[0])


def _widen_palette(image: TiffImageFile) -> None:
    """Read a colour map as 8 bits where no colour has more: as libtiff does, unlike Pillow.

    TIFF has 16 bits for each, but some writers put 0 to 255 there, which would all be black.
    """
    colours = image.tag_v2[TiffImagePlugin.COLORMAP]
    if max(colours) <= EIGHT_BITS:
        image.palette = ImagePalette.raw("RGB;L", bytes(colours))


def _find_black_and_white(image: Image.Image, significant_bits: int) -> tuple[int, int]:
    """Return the samples that mean black and white in a 16-bit mode.

    Fewer bits than there is room for count only where all samples fit into them. A PNG's writer
    should have scaled them up, which needs all 16; TIFF's highest value is a statistic to some
    writers, so it is taken for a number of bits.
    """
    bits, is_white_zero = MAXIMUM_BITS, False
    if isinstance(image, TiffImageFile):
        tags = image.tag_v2
        bits = count_sample_bits(image)
        is_white_zero = tags[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] == WHITE_IS_ZERO
        stated = tags.get(MAXIMUM_SAMPLE, 0)
        numbers = stated if isinstance(stated, tuple) else (stated,)
        most = max((each for each in numbers if isinstance(each, int)), default=0)
        significant_bits = most.bit_length()
    if 0 < significant_bits < bits and _find_highest_sample(image) < 2**significant_bits:
        bits = significant_bits
    white = 2**bits - 1
    return (white, 0) if is_white_zero else (0, white)


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
    # Palette and CMYK become colour first; dropping alpha leaves the colours as they are stored.
    colour = strip.convert("RGBA") if strip.mode == "P" else strip
    return (colour if colour.mode == "RGB" else colour.convert("RGB")).convert("L")
