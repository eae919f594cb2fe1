"""What a PNG's chunks tell without a pixel being decoded: whether it is plain, and whole."""

import struct
import zlib
from collections.abc import Iterator
from itertools import count

from headcirc.readers.limits import require_few

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_BITS_AT = 24
PNG_8_BITS = (b"\x08\x00", b"\x08\x02", b"\x08\x06")
"""Bit depth and colour type in a PNG's header: grey, colour, colour with alpha."""
PNG_DEEP_GREY = b"\x10\x00"
PNG_NOT_PLAIN = frozenset({b"eXIf", b"tRNS", b"acTL"})
"""Chunks that may hold an orientation, transparency or further pictures."""
PNG_TEXTS, PNG_TURNING = frozenset({b"tEXt", b"zTXt", b"iTXt"}), (b"exif", b"xmp")
"""Chunks of text, and what stands in the keywords of those that may hold an orientation."""
PNG_KEYWORD_BYTES = 80
"""At most, with the zero that ends it."""
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Colour type to samples of a pixel."""
PNG_INTERLACED = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
)  # fmt: skip
"""Each pass's first column and row, and the steps to the next ones."""
INFLATED_BYTES = 1_000_000
"""How much of a PNG's rows is unpacked at a time; the rows are only counted."""


def to_bare_png(content: bytes) -> bytes | None:
    """Return a PNG of 8-bit grey or colour without all that is not its pixels.

    Most ultrasound frames come as such, and OpenCV decodes them in three quarters of Pillow's time
    and misses no row. Every chunk's checksum is tested first, and of odd profiles and texts it
    learns nothing, because it writes to the standard error stream what it thinks of them.

    Returns
    -------
    bytes or None
        None for other files, and where a chunk may turn the picture or change it.

    Raises
    ------
    ValueError, struct.error, ImageTooLargeError
        As `file_pieces.require_whole` does.
    """
    if content[12:16] != b"IHDR" or content[24:26] not in PNG_8_BITS:
        return None
    kept = [PNG_SIGNATURE]
    for name, start, end in read_png_chunks(content):
        if _may_change(name, content[start : min(end, start + PNG_KEYWORD_BYTES)]):
            return None
        if name[:1].isupper() and name != b"PLTE":  # capitals: who does not know it, cannot read
            kept.append(content[start - 8 : end + 4])
    return b"".join(kept)


def _may_change(name: bytes, body: bytes) -> bool:
    """Tell whether a chunk may make the picture another than its pixels, by its first bytes."""
    keyword = body.partition(b"\0")[0].lower() if name in PNG_TEXTS else b""
    return name in PNG_NOT_PLAIN or any(word in keyword for word in PNG_TURNING)


def read_png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's name and where its body starts and ends, up to the file's end."""
    start = len(PNG_SIGNATURE) + 8
    for pieces in count(1):
        require_few(pieces)
        (size_bytes,) = struct.unpack_from(">I", content, start - 8)
        end = start + size_bytes
        if struct.unpack_from(">I", content, end) != (zlib.crc32(content[start - 4 : end]),):
            raise ValueError("A checksum does not fit.")
        name = content[start - 4 : start]
        yield name, start, end
        if name == b"IEND":
            return
        start = end + 12


def read_significant_bits(content: bytes) -> int:
    """Return how many bits of each sample of a deep grey PNG count, or 0 if it does not say."""
    if content[24:26] != PNG_DEEP_GREY:
        return 0
    for name, start, end in read_png_chunks(content):
        if name == b"sBIT" and end > start:
            return content[start]
        if name == b"IDAT":
            break
    return 0


def count_missing_png_bytes(content: bytes) -> int:
    """Return how many bytes of a PNG's rows are not in its compressed data."""
    missing, inflater = 0, zlib.decompressobj()
    for name, start, end in read_png_chunks(content):
        body = content[start:end]
        if name == b"IHDR":
            missing = _count_png_bytes(body)
        while name == b"IDAT" and body and missing > 0:
            missing -= len(inflater.decompress(body, INFLATED_BYTES))
            body = inflater.unconsumed_tail
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
