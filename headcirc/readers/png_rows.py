"""Decompress the rows of a PNG by ISA-L before OpenCV decodes it.

OpenCV's zlib takes 40 % of the time that a usual frame needs; ISA-L takes half of that. OpenCV
still removes the filters of the rows and tests the result. So the rows are put into the file again,
without compression.
"""

import struct
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from typing import Any

isal_zlib: Any = import_module("isal.isal_zlib") if find_spec("isal") else None
"""None without a wheel for this processor, see pyproject.toml: then OpenCV decompresses."""
CHUNKS_AT = 8
MOST_BYTES = 4_000_000
"""Larger pictures are left as they are: their rows would be in memory three times."""
LARGEST_BLOCK_BYTES = 65_535
"""The most that a stored block of a Deflate stream holds (RFC 1951, 3.2.4)."""
STREAM_HEADER = b"\x78\x01"


def store_rows(png: bytes, row_bytes: int) -> bytes:
    """Return a PNG with the same rows, not compressed.

    Parameters
    ----------
    png : bytes
        A whole PNG whose checksums are right.
    row_bytes : int
        Bytes of its rows, each with the byte of its filter.

    Returns
    -------
    bytes
        The PNG itself if it is large, if its data are damaged, or if there are fewer or more of
        them than its rows need. The decoder judges such files.
    """
    if isal_zlib is None or row_bytes > MOST_BYTES:
        return png
    before, compressed, after = _split(png)
    rows = _decompress(compressed, row_bytes)
    if rows is None:
        return png
    end = _to_number(isal_zlib.adler32(rows))
    body = b"".join((b"IDAT", STREAM_HEADER, *_to_blocks(rows), end))
    size, checksum = _to_number(len(body) - len(b"IDAT")), _to_number(isal_zlib.crc32(body))
    return b"".join((before, size, body, checksum, after))


def _split(png: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the chunks before the compressed data, these data, and the chunks after them."""
    at, before_end, bodies = CHUNKS_AT, 0, []
    while at < len(png):
        (size_bytes,) = struct.unpack_from(">I", png, at)
        if png[at + 4 : at + 8] == b"IDAT":
            before_end = before_end or at
            bodies.append(png[at + 8 : at + 8 + size_bytes])
        elif bodies:
            break
        at += size_bytes + 12
    return png[:before_end], b"".join(bodies), png[at:]


def _decompress(compressed: bytes, row_bytes: int) -> bytes | None:
    """Return the decompressed data if they are whole and exactly as long as the rows."""
    inflater = isal_zlib.decompressobj()
    try:
        rows: bytes = inflater.decompress(compressed, row_bytes + 1)
    except isal_zlib.error:
        return None
    is_exact = inflater.eof and not inflater.unused_data and len(rows) == row_bytes
    return rows if is_exact else None


def _to_blocks(rows: bytes) -> Iterator[bytes | memoryview]:
    """Yield a Deflate stream that holds the rows as they are."""
    view = memoryview(rows)
    for at in count(0, LARGEST_BLOCK_BYTES):
        block = view[at : at + LARGEST_BLOCK_BYTES]
        is_last = at + LARGEST_BLOCK_BYTES >= len(rows)
        yield struct.pack("<BHH", is_last, len(block), len(block) ^ LARGEST_BLOCK_BYTES)
        yield block
        if is_last:
            return


def _to_number(value: int) -> bytes:
    return struct.pack(">I", value)
