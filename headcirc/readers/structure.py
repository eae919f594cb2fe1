"""Files in absurdly many pieces, or without some of them: refused.

Where a file ends in good order and early, or has a hole, Pillow and OpenCV make black, grey or
shifted what they cannot read, and half a head can be measured as confidently as a whole one. This
module makes no picture.
"""

import struct

from PIL import Image, TiffImagePlugin, TiffTags
from PIL.TiffImagePlugin import TiffImageFile

from headcirc.errors import ImageTooLargeError, UnsupportedMediaTypeError
from headcirc.readers.limits import require_few
from headcirc.readers.png_chunks import count_missing_png_bytes

TIFF_PLACES = frozenset({TiffImagePlugin.STRIPOFFSETS, TiffImagePlugin.TILEOFFSETS})
TIFF_FRACTIONS = frozenset({TiffTags.RATIONAL, TiffTags.SIGNED_RATIONAL})
"""Pillow makes an object of each of these numbers."""
TIFF_ENTRY_BYTES = 12
TIFF_JPEG = frozenset({6, 7})
"""Compressions: JPEG as TIFF 6.0 describes it, and as it is written since."""
TILED_SHARE = 2
"""Tiles reach beyond a picture's edges, but in a large one by less than its own size."""

BMP_RUNS = (1, 2)
"""Compressions: runs of 8 and of 4 bits."""
BMP_START_AT, BMP_BITS_AT = 10, 28
BMP_SHORTEST_ESCAPE = 3
"""From here on it is so many pixels one by one; below, the end or a jump over pixels."""


def require_few_tiff_pieces(content: bytes) -> None:
    """Refuse a TIFF whose first directory lists too many strips, tiles or fractions.

    Each list is read at once, so reading does not count what is in it.

    Raises
    ------
    ImageTooLargeError
    struct.error
        The file ends before its first directory.
    """
    order = "<" if content.startswith(b"II") else ">"
    (at,) = struct.unpack(order + "I", content[4:8])
    (entries,) = struct.unpack(order + "H", content[at : at + 2])
    listed = content[at + 2 : at + 2 + TIFF_ENTRY_BYTES * entries]
    whole = len(listed) // TIFF_ENTRY_BYTES * TIFF_ENTRY_BYTES
    require_few(
        sum(
            count
            for tag, kind, count in struct.iter_unpack(order + "HHI4x", listed[:whole])
            if tag in TIFF_PLACES or kind in TIFF_FRACTIONS
        )
    )


def count_tiff_pictures(content: bytes) -> int:
    """Return how many pictures a TIFF holds; Pillow would take minutes to count many.

    Raises
    ------
    ImageTooLargeError
        They are more than pieces may be, or a chain without an end.
    struct.error
        The file ends before its last directory.
    """
    order = "<" if content.startswith(b"II") else ">"
    pictures, place = 0, 4
    while at := struct.unpack_from(order + "I", content, place)[0]:
        pictures += 1
        require_few(pictures)
        (entries,) = struct.unpack_from(order + "H", content, at)
        place = at + 2 + TIFF_ENTRY_BYTES * entries
    return pictures


def require_few_tiled_pixels(image: TiffImageFile, maximum_pixels: int) -> None:
    """Refuse a TIFF whose tiles hold far more than its picture: each is decoded whole.

    Raises
    ------
    ImageTooLargeError
    TypeError
        A tile's side is no number.
    """
    tags = image.tag_v2
    if TiffImagePlugin.TILEWIDTH not in tags:
        return
    columns = _to_tiled_px(image.width, tags[TiffImagePlugin.TILEWIDTH])
    rows = _to_tiled_px(image.height, tags.get(TiffImagePlugin.TILELENGTH, 1))
    if columns * rows > TILED_SHARE * maximum_pixels:
        raise ImageTooLargeError(
            f"The TIFF's tiles hold {columns} x {rows} pixels; at most "
            f"{TILED_SHARE * maximum_pixels:,} are accepted. Save it again, for instance as PNG."
        )


def _to_tiled_px(side_px: int, tile_px: int) -> int:
    return -(-side_px // max(tile_px, 1)) * tile_px


def require_whole(image: Image.Image, content: bytes) -> None:
    """Refuse a file that does not hold all of its picture, as far as its format lets one see.

    Parameters
    ----------
    image : Image.Image
        Opened and not yet decoded.
    content : bytes
        The file.

    Raises
    ------
    ValueError, LookupError, struct.error, zlib.error
        Something is missing, or damaged.
    ImageTooLargeError
        It is in too many pieces to be looked through.
    UnsupportedMediaTypeError
        Nobody could see whether it is whole.
    """
    missing = 0
    if image.format == "PNG":
        missing = count_missing_png_bytes(content)
    elif isinstance(image, TiffImageFile):
        require_no_tiff_jpeg(image)
        missing = count_missing_tiff_samples(image)
    elif image.format == "BMP" and image.info.get("compression") in BMP_RUNS:
        missing = count_missing_bmp_pixels(content, image.width * image.height)
    if missing > 0:
        raise ValueError(f"{missing} bytes or pixels are missing.")


def require_no_tiff_jpeg(image: TiffImageFile) -> None:
    """Refuse a TIFF whose pixels are JPEG data.

    libtiff decodes any process, lossless too, and fills up with grey what is cut off or damaged
    without an error, so half a picture would look like a whole one.

    Raises
    ------
    UnsupportedMediaTypeError
    """
    if image.tag_v2.get(TiffImagePlugin.COMPRESSION) in TIFF_JPEG:
        raise UnsupportedMediaTypeError(
            "The TIFF's pixels are JPEG data, whose damage would not be noticed; uncompressed, "
            "deflate, LZW and PackBits are accepted. Save it as PNG."
        )


def count_missing_tiff_samples(image: TiffImageFile) -> int:
    """Return how many samples of a TIFF's picture no strip or tile holds."""
    tags = image.tag_v2
    is_planar = tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2  # noqa: PLR2004
    planes = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1) if is_planar else 1
    boxes = (tile.extents or (0, 0, 0, 0) for tile in image.tile)
    held = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
    return planes * image.width * image.height - held


def count_missing_bmp_pixels(content: bytes, pixels: int) -> int:
    """Return how many of a BMP's pixels are in none of its runs."""
    (at,) = struct.unpack_from("<I", content, BMP_START_AT)
    bits, missing = content[BMP_BITS_AT], pixels
    while missing > 0:
        length, value = content[at], content[at + 1]
        at += 2
        if length == 0 and value >= BMP_SHORTEST_ESCAPE:
            length, at = value, at + (value * bits + 15) // 16 * 2
        elif length == 0 and value > 0:  # 0 ends a line
            break
        missing -= length
    return missing
