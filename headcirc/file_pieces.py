"""Files in absurdly many pieces, or without some of them: refused.

Of many: Pillow walks chunks, segments, tags and strips in Python, some microseconds each: ten
megabytes of empty ones take seconds, of one-pixel tiles a minute. Of missing ones: where a file
ends in good order and early, Pillow and OpenCV make the rest black, and half a head can be measured
as confidently as a whole one. This module decodes nothing.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from itertools import count

from PIL import Image, TiffImagePlugin, TiffTags
from PIL.TiffImagePlugin import TiffImageFile

from headcirc.errors import ImageTooLargeError

MAXIMUM_PIECES = 50_000
"""A quarter of a second. A chunk or segment counts three; a file of 10 MB has a few thousand."""

TIFF_PLACES = frozenset({TiffImagePlugin.STRIPOFFSETS, TiffImagePlugin.TILEOFFSETS})
TIFF_FRACTIONS = frozenset({TiffTags.RATIONAL, TiffTags.SIGNED_RATIONAL})
"""Pillow makes an object of each of these numbers."""
TIFF_ENTRY_BYTES = 12
TILED_SHARE = 2
"""Tiles reach beyond a picture's edges, but in a large one by less than its own size."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_8_BITS = (b"\x08\x00", b"\x08\x02", b"\x08\x06")
"""Bit depth and colour type in a PNG's header: grey, colour, colour with alpha."""
PNG_NOT_PLAIN = frozenset({b"eXIf", b"tRNS", b"zTXt", b"iTXt", b"tEXt", b"acTL"})
"""Chunks that may hold an orientation, transparency or further pictures."""
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Colour type to samples of a pixel."""
PNG_INTERLACED = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
)  # fmt: skip
"""Of each pass, its first column and row, and the steps to its next ones."""
INFLATED_BYTES = 1_000_000
"""Of a PNG's rows at a time: they are only counted."""

BMP_RUNS = (1, 2)
"""Compressions: runs of 8 and of 4 bits."""
BMP_START_AT, BMP_BITS_AT = 10, 28
BMP_SHORTEST_ESCAPE = 3
"""From here on it is so many pixels one by one; below, the end or a jump over pixels."""


class CountedFile(io.BytesIO):
    """A file in memory that is read in at most `MAXIMUM_PIECES` pieces."""

    _pieces = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes.

        Raises
        ------
        ImageTooLargeError
        """
        self._pieces += 1
        require_few(self._pieces)
        return super().read(size)


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
            f"{TILED_SHARE * maximum_pixels:,} are accepted. Save it anew, for instance as PNG."
        )


def _to_tiled_px(side_px: int, tile_px: int) -> int:
    return -(-side_px // max(tile_px, 1)) * tile_px


def require_few(pieces: int) -> None:
    """Refuse a file in more pieces than any picture needs; raises ImageTooLargeError."""
    if pieces > MAXIMUM_PIECES:
        raise ImageTooLargeError(
            f"The file is in more than {MAXIMUM_PIECES:,} pieces (chunks, segments, strips or "
            "tiles), which no picture needs. Save it anew, for instance as PNG."
        )


def require_whole(image: Image.Image, content: bytes) -> None:
    """Refuse a file that does not hold all of its picture.

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
    """
    missing = 0
    if image.format == "PNG":
        missing = count_missing_png_bytes(content)
    elif isinstance(image, TiffImageFile):
        missing = count_missing_tiff_samples(image)
    elif image.format == "BMP" and image.info.get("compression") in BMP_RUNS:
        missing = count_missing_bmp_pixels(content, image.width * image.height)
    if missing > 0:
        raise ValueError(f"{missing} bytes or pixels are missing.")


def is_plain_png(content: bytes) -> bool:
    """Tell whether a file is a PNG of 8-bit grey or colour, not turned; ValueError if damaged.

    Most ultrasound frames come as such, and OpenCV decodes them in three quarters of Pillow's time
    and misses no row. Every chunk's checksum is tested first, so that OpenCV, which writes to the
    standard error stream, does not meet files that were damaged on their way.
    """
    if content[12:16] != b"IHDR" or content[24:26] not in PNG_8_BITS:
        return False
    return not any(name in PNG_NOT_PLAIN for name, _ in read_png_chunks(content))


def read_png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield each chunk's name and body, to the file's end; raises as `require_whole` does."""
    start = len(PNG_SIGNATURE)
    for pieces in count(1):
        require_few(pieces)
        (size_bytes,) = struct.unpack_from(">I", content, start)
        named, end = start + 4, start + 8 + size_bytes
        if struct.unpack_from(">I", content, end) != (zlib.crc32(content[named:end]),):
            raise ValueError("A checksum does not fit.")
        name = content[named : named + 4]
        yield name, content[named + 4 : end]
        if name == b"IEND":
            return
        start = end + 4


def count_missing_png_bytes(content: bytes) -> int:
    """Return how many bytes of a PNG's rows are not in its compressed data."""
    missing, inflater = 0, zlib.decompressobj()
    for name, body in read_png_chunks(content):
        if name == b"IHDR":
            missing = _count_png_bytes(body)
        while name == b"IDAT" and body and missing > 0:
            missing -= len(inflater.decompress(body, INFLATED_BYTES))
            body = inflater.unconsumed_tail  # noqa: PLW2901
    if missing > 0:  # else it would inflate whatever is left, without a bound
        missing -= len(inflater.flush())
    return missing


def _count_png_bytes(header: bytes) -> int:
    """Return how many bytes a PNG's rows take, each behind the byte of its filter."""
    columns, rows, bits, colour, _, _, is_interlaced = struct.unpack(">IIBBBBB", header)
    total_bytes = 0
    for left, top, step_x, step_y in PNG_INTERLACED if is_interlaced else ((0, 0, 1, 1),):
        across, down = len(range(left, columns, step_x)), len(range(top, rows, step_y))
        if across > 0:
            total_bytes += down * (1 + -(-across * bits * PNG_CHANNELS[colour] // 8))
    return total_bytes


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
