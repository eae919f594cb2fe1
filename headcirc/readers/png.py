"""Read PNG files: kornia-rs decodes 8-bit grey and colour, Pillow all other kinds."""

import struct
import zlib
from collections.abc import Iterator
from itertools import count

import numpy as np
from kornia_rs.io import decode_image_png_u8
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngImageFile

from headcirc.geometry import Frame
from headcirc.readers.grey import MAXIMUM_BITS, is_narrow, to_grey, to_luma
from headcirc.readers.limits import CountedFile, require_accepted_size, require_few
from headcirc.readers.orientation import find_orientation
from headcirc.readers.reader import ReadOptions
from headcirc.readers.still_image import (
    DAMAGE,
    refusing_damage,
    refusing_damaged_header,
    require_single_image,
    to_frame,
)

NAME = "PNG"
SUFFIXES: tuple[str, ...] = (".png",)
SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIZE_AT, BITS_AT = 16, 24
"""Positions of the width and of the bit depth in the header."""
KIND = slice(BITS_AT, BITS_AT + 2)
"""The bytes of the bit depth and of the colour type."""
MONO = "mono"
EIGHT_BITS = {b"\x08\x00": MONO, b"\x08\x02": "rgb", b"\x08\x06": "rgba"}
"""Kinds of 8-bit grey, colour, and colour with alpha, and their names in kornia-rs."""
DEEP_GREY = b"\x10\x00"
ANIMATION = b"acTL"
NOT_PLAIN = frozenset({b"eXIf", b"tRNS", ANIMATION})
"""Chunks that may hold an orientation, transparency or further images."""
TEXTS, ORIENTATION_WORDS = frozenset({b"tEXt", b"zTXt", b"iTXt"}), (b"exif", b"xmp")
"""Text chunks, and words in the keywords of those that may hold an orientation."""
RAW_EXIF, XMP = "Raw profile type exif", "XML:com.adobe.xmp"
"""Keywords of the texts that hold an orientation."""
RAW_EXIF_HEADER_LINES = 3
KEYWORD_BYTES = 80
"""The longest keyword, with the zero that ends it."""
MOST_ANIMATION_FRAMES = 2**31
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Colour type to samples of a pixel."""
INTERLACED = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
)  # fmt: skip
"""First column and row of each pass, and the steps to its next ones."""
INFLATED_BYTES = 1_000_000
"""Rows are decompressed in blocks of this size, only to count them."""


def recognises(content: bytes) -> bool:
    """Return whether the content starts like a PNG file."""
    return content.startswith(SIGNATURE)


def read(content: bytes, options: ReadOptions) -> Frame:
    """Return the frame of a PNG file; see `headcirc.readers.decode.decode_frame`."""
    with refusing_damage(NAME):
        bare = to_bare_png(content)
    if bare is None:
        return _read_with_pillow(content, options)
    columns, rows = struct.unpack_from(">II", content, SIZE_AT)
    require_accepted_size((columns, rows), options.maximum_pixels)
    require_single_image(NAME, 1, options.frame_index)
    with refusing_damage(NAME):
        pixels = _decode_bare(bare, (rows, columns), EIGHT_BITS[content[KIND]])
    return to_frame(pixels, options)


def _decode_bare(bare: bytes, shape: tuple[int, int], kind: str) -> NDArray[np.uint8]:
    """Return the grey values of a bare PNG."""
    try:
        samples = decode_image_png_u8(bare, shape, kind)
    except Exception as error:  # kornia-rs raises nothing narrower
        raise ValueError(str(error)) from error
    return samples[..., 0] if kind == MONO else to_luma(samples[..., :3])


def _read_with_pillow(content: bytes, options: ReadOptions) -> Frame:
    with refusing_damaged_header(NAME):
        header = slice(content.find(b"IDAT"))
        image = _open(content, may_be_animated=ANIMATION in content[header])
    require_accepted_size(image.size, options.maximum_pixels)
    with refusing_damage(NAME):
        require_single_image(NAME, getattr(image, "n_frames", 1), options.frame_index)
        pixels, orientation = _decode_with_pillow(image, content)
        has_narrow_range = content[BITS_AT] == MAXIMUM_BITS and is_narrow(pixels)
    return to_frame(pixels, options, orientation=orientation, has_narrow_range=has_narrow_range)


def _decode_with_pillow(image: PngImageFile, content: bytes) -> tuple[NDArray[np.uint8], int]:
    """Return the stored grey values and the orientation."""
    missing = count_missing_bytes(content)
    if missing > 0:
        raise ValueError(f"{missing} bytes are missing.")
    if ANIMATION in content:  # perhaps after the pixels
        image = _open(content, may_be_animated=True)
    grey = to_grey(image, significant_bits=read_significant_bits(content))
    return grey, _read_orientation(image)


def _read_orientation(image: PngImageFile) -> int:
    """Return the orientation that a decoded PNG states in a chunk or in a text."""
    exif, xmp = image.info.get("exif"), image.info.get(XMP) or image.info.get("xmp", b"")
    try:
        if exif is None and RAW_EXIF in image.info:
            lines = image.info[RAW_EXIF].split("\n")[RAW_EXIF_HEADER_LINES:]
            exif = bytes.fromhex("".join(lines))
        return find_orientation(exif or b"", xmp.encode() if isinstance(xmp, str) else xmp)
    except DAMAGE:
        return 1


def _open(content: bytes, *, may_be_animated: bool) -> PngImageFile:
    return PngImageFile(
        CountedFile(_without_invalid_animation(content) if may_be_animated else content)
    )


def _without_invalid_animation(content: bytes) -> bytes:
    """Return the PNG without animation chunks that contradict the format.

    Pillow, too, reads such a file as a still image, but with a Python warning.
    """
    try:
        chunks = list(read_chunks(content))
    except DAMAGE:
        return content  # the reader refuses it later, and says why
    animations = [(start, end) for name, start, end in chunks if name == ANIMATION]
    if not animations:
        return content
    start, end = animations[0]
    frames = int.from_bytes(content[start : min(end, start + 4)], "big")
    if end - start < 8 or (len(animations) == 1 and 0 < frames <= MOST_ANIMATION_FRAMES):  # noqa: PLR2004
        return content
    kept = [content[start - 8 : end + 4] for name, start, end in chunks if name != ANIMATION]
    return b"".join([SIGNATURE, *kept])


def to_bare_png(content: bytes) -> bytes | None:
    """Return a PNG of 8-bit grey or colour with only the chunks that hold its pixels.

    Most ultrasound frames are such files. kornia-rs decodes them in half of the time that Pillow
    takes, and misses no row. It tests the checksums of the compressed data; those of all other
    chunks are tested here. Other chunks are left out, so that no decoder judges what is not read.

    Returns
    -------
    bytes or None
        None for other files, and where a chunk may turn or change the image.

    Raises
    ------
    ValueError, struct.error, ImageTooLargeError
        A chunk is damaged or cut off, or there are too many.
    """
    if content[12:16] != b"IHDR" or content[KIND] not in EIGHT_BITS:
        return None
    kept = [SIGNATURE]
    for name, start, end in read_chunks(content, unchecked=b"IDAT"):
        if name in NOT_PLAIN:
            return None
        if name in TEXTS and _may_turn(content[start : min(end, start + KEYWORD_BYTES)]):
            return None
        if name[:1].isupper() and name != b"PLTE":  # a capital: needed for decoding
            kept.append(content[start - 8 : end + 4])
    return b"".join(kept)


def _may_turn(text: bytes) -> bool:
    """Return whether a text may hold an orientation, by its first bytes."""
    keyword = text.partition(b"\0")[0].lower()
    return any(word in keyword for word in ORIENTATION_WORDS)


def read_chunks(content: bytes, *, unchecked: bytes = b"") -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's name and where its body starts and ends, up to the file's end.

    The checksum of a chunk with the name `unchecked` is not tested.
    """
    start = len(SIGNATURE) + 8
    for chunks in count(1):
        require_few(chunks)
        (size_bytes,) = struct.unpack_from(">I", content, start - 8)
        end = start + size_bytes
        name, stated = content[start - 4 : start], struct.unpack_from(">I", content, end)
        if name != unchecked and stated != (zlib.crc32(content[start - 4 : end]),):
            raise ValueError("A checksum does not fit.")
        yield name, start, end
        if name == b"IEND":
            return
        start = end + 12


def read_significant_bits(content: bytes) -> int:
    """Return how many bits of a 16-bit grey sample are significant; 0 where none are stated."""
    if content[KIND] != DEEP_GREY:
        return 0
    for name, start, end in read_chunks(content):
        if name == b"sBIT" and end > start:
            return content[start]
        if name == b"IDAT":
            break
    return 0


def count_missing_bytes(content: bytes) -> int:
    """Return how many bytes of a PNG's rows are not in its compressed data."""
    missing, inflater = 0, zlib.decompressobj()
    for name, start, end in read_chunks(content):
        body = content[start:end]
        if name == b"IHDR":
            missing = count_row_bytes(body)
        while name == b"IDAT" and body and missing > 0:
            missing -= len(inflater.decompress(body, INFLATED_BYTES))
            body = inflater.unconsumed_tail
    if missing > 0:  # or it would decompress the rest without a limit
        missing -= len(inflater.flush())
    return missing


def count_row_bytes(header: bytes) -> int:
    """Return how many bytes a PNG's rows take, each after the byte of its filter."""
    columns, rows, bits, colour, _, _, is_interlaced = struct.unpack(">IIBBBBB", header)
    total_bytes = 0
    for left, top, step_x, step_y in INTERLACED if is_interlaced else ((0, 0, 1, 1),):
        across, down = len(range(left, columns, step_x)), len(range(top, rows, step_y))
        if across > 0:
            total_bytes += down * (1 + -(-across * bits * CHANNELS[colour] // 8))
    return total_bytes
