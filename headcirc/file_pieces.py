"""Files in absurdly many pieces, refused before they hold a thread.

Pillow walks chunks, segments, tags and strips in Python, some microseconds each: ten megabytes of
empty ones take seconds, of one-pixel tiles a minute. This module does not know what they mean.
"""

import io
import struct

from PIL import TiffImagePlugin, TiffTags
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
        _require_few(self._pieces)
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
    _require_few(
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
        _require_few(pictures)
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


def _require_few(pieces: int) -> None:
    if pieces > MAXIMUM_PIECES:
        raise ImageTooLargeError(
            f"The file is in more than {MAXIMUM_PIECES:,} pieces (chunks, segments, strips or "
            "tiles), which no picture needs. Save it anew, for instance as PNG."
        )
