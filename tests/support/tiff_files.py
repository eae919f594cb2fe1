"""Make TIFF files from single tags, including files that no library writes."""

import struct

LONG, RATIONAL = 4, 5
SIDE_PX = 8
DATA = (LONG, 1)
"""Stands for a tag's value: the type and count of the numbers at the data's offset."""
GREY = {256: SIDE_PX, 257: SIDE_PX, 258: 8, 259: 1, 262: 1, 273: DATA, 278: SIDE_PX}
"""Width, height, bits, no compression, 0 is black, and one strip of all rows."""


def make_tiff(tags: dict[int, int | tuple[int, int]], data: bytes) -> bytes:
    """Return a little-endian TIFF with one picture."""
    data_at = 8 + 2 + 12 * len(tags) + 4
    entries = b""
    for tag, value in sorted(tags.items()):
        numbers = (LONG, 1, value) if isinstance(value, int) else (*value, data_at)
        entries += struct.pack("<HHII", tag, *numbers)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + data


def make_tiled_tiff(tiles: int) -> bytes:
    """Return a TIFF of one-pixel tiles."""
    side_px = int(tiles**0.5)
    sizes = {256: side_px, 257: side_px, 322: 1, 323: 1, 324: (LONG, tiles)}
    tags = {tag: value for tag, value in GREY.items() if tag not in (273, 278)} | sizes
    return make_tiff(tags, struct.pack("<I", 8) * tiles)


def make_chained_tiff(pictures: int) -> bytes:
    """Return a TIFF with a long chain of one-pixel pictures."""
    entries = b"".join(struct.pack("<HHII", tag, LONG, 1, 1) for tag in (256, 257, 273))
    size = 2 + len(entries) + 4
    following = [*range(8 + size, 8 + pictures * size, size), 0]
    directories = (b"\x03\0" + entries + struct.pack("<I", each) for each in following)
    return b"II*\0\x08\0\0\0" + b"".join(directories)
