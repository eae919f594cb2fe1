"""Check JPEG data segment by segment, then decode them once and strictly with libjpeg-turbo.

The data are those of a JPEG file, or of one frame in a DICOM file. Three processes of ITU-T T.81
are read, of 8 bits and Huffman-coded: baseline (SOF0), sequential (SOF1) and progressive (SOF2).
All others are refused before libjpeg-turbo sees them:

- Lossless (SOF3) of any depth: libjpeg-turbo writes outside its memory when it decodes such a file
  at a smaller size. No browser shows such a file, so nobody could check the ellipse. Ultrasound
  devices put this process inside DICOM, where `headcirc.readers.dicom` reads it.
- Arithmetic coding (SOF9 and higher): a decoder takes missing data for zeros (T.81, D.2.6), so
  half an image looks like a whole one.
- 12 and 16 bits: the samples would be cut to 8 bits without knowing which range they use.
- Hierarchical (SOF5 to SOF7, DHP) and JPEG-LS (SOF55): no decoder here reads them.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from headcirc.errors import ImageTooLargeError, UnsupportedMediaTypeError
from headcirc.readers.grey import to_grey, to_luma
from headcirc.readers.limits import require_few

COLOURS = {1: "GRAY", 3: "RGB", 4: "CMYK"}
"""Samples of a pixel to the colours they are decoded to; ink is stored inverted, as Adobe does."""
RARE_SAMPLING = "Could not determine subsampling level"
"""The one message of libjpeg-turbo that does not mean damage."""

SOF0, SOF2, DHT, DNL, DRI, DQT = 0xC0, 0xC2, 0xC4, 0xDC, 0xDD, 0xDB
END, SCAN, HIERARCHY, COMMENT, JFIF, ADOBE = 0xD9, 0xDA, 0xDE, 0xFE, 0xE0, 0xEE
APPLICATION_1, APPLICATION_2 = 0xE1, 0xE2
FRAMES = frozenset(range(0xC0, 0xD0)) - {DHT, 0xC8, 0xCC} | {HIERARCHY, 0xF7}
"""Start-of-frame markers, the hierarchical one and that of JPEG-LS; 0xC8 and 0xCC are none."""
READ_FRAMES = frozenset({SOF0, 0xC1, SOF2})
TABLES = frozenset({DHT, DQT, DRI})
RESTARTS = frozenset(range(0xD0, 0xD8))
WITHOUT_BODY = RESTARTS | {0x01, END}
PASSED_OVER = WITHOUT_BODY | frozenset(range(0xE0, 0xF0)) | {COMMENT, DNL}

MARKER = re.compile(rb"\xff++([^\x00\xff])")
"""A marker, with any number of fill bytes before it (T.81, B.1.1.2)."""
SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A marker other than a restart; a zero after 0xFF means that it is data."""
BARE_JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
JFIF_BYTES = len(BARE_JFIF) - 4

MAXIMUM_JPEG_SCANS = 32
"""A progressive JPEG has about ten; each costs a pass over all pixels, in as few as 20 bytes."""
COEFFICIENTS = 64
"""Coefficients of a block, for each component."""
READ_BITS = 8
FRAME_SIZE_AT = 4
"""Place in a frame segment, after its marker, length and depth."""
NOT_READ = 0xFF


@dataclass(frozen=True)
class JpegFile:
    """A complete JPEG of a process that is read here.

    Attributes
    ----------
    columns, rows : int
        Size of the image.
    components : int
        Samples of a pixel.
    scans : int
        Passes over the image.
    end : int
        Where the end marker ends; what follows is not part of the image.
    bare : bytes
        The same image with only the segments that decoding needs, and with headers that give a
        decoder nothing to warn of: any warning that is left means damage.
    applications : tuple of bytes
        Bodies of the segments APP1 and APP2 before the first scan.
    """

    columns: int
    rows: int
    components: int
    scans: int
    end: int
    bare: bytes
    applications: tuple[bytes, ...]


def decode_jpeg(jpeg: JpegFile) -> NDArray[np.uint8]:
    """Decode all pixels, once; every warning of the decoder means damage (ValueError)."""
    try:
        samples = simplejpeg.decode_jpeg(
            jpeg.bare, COLOURS[jpeg.components], fastdct=False, fastupsample=False, strict=True
        )
    except ValueError as error:
        if RARE_SAMPLING not in str(error):
            raise
        raise UnsupportedMediaTypeError(
            "The JPEG stores its colours in a resolution that is not read here. Save it as PNG."
        ) from error
    if jpeg.components == 1:
        return np.asarray(samples[..., 0], np.uint8)
    if jpeg.components == 3:  # noqa: PLR2004
        return to_luma(samples)
    return to_grey(Image.fromarray(np.invert(samples, out=samples), "CMYK"))


def read_jpeg(content: bytes) -> JpegFile:
    """Read all segments of a JPEG once, and decode no pixel.

    Raises
    ------
    UnsupportedMediaTypeError
        The process or depth is not read here.
    ImageTooLargeError
        Too many scans or segments.
    ValueError, LookupError, struct.error
        A segment or scan is missing or damaged.
    """
    kept, frame, scans, end = [content[:2]], b"", 0, 0
    applications: list[bytes] = []
    lacking: dict[int, bytearray] = {}
    for marker, start, end in read_jpeg_segments(content):
        body = content[start:end]
        if marker in FRAMES:
            _require_read_process(marker, body)
            if frame:
                raise ValueError("A second frame.")
            frame = content[start - 3 : end]
            lacking = {number: bytearray([NOT_READ] * COEFFICIENTS) for number in body[6::3]}
            kept.append(b"\xff" + frame)
        elif marker == SCAN:
            scans += 1
            _require_few_scans(scans)
            kept += _to_bare_scan(content, start, end, frame[0] == SOF2, lacking)
        elif marker in TABLES or (marker == ADOBE and body.startswith(b"Adobe")):
            kept += [bytes([0xFF, marker]), content[start - 2 : end]]
        elif marker == JFIF and body.startswith(b"JFIF\0") and len(body) >= JFIF_BYTES:
            kept.append(BARE_JFIF)
        elif marker in (APPLICATION_1, APPLICATION_2):
            applications += [body] if scans == 0 else []
        elif marker not in PASSED_OVER:
            raise ValueError("An unknown marker.")
    if not lacking or any(map(any, lacking.values())):
        raise ValueError("A scan is missing.")
    rows, columns, components = struct.unpack_from(">HHB", frame, FRAME_SIZE_AT)
    if not rows or not columns:
        raise ValueError("The header states no size.")
    bare = b"".join([*kept, bytes([0xFF, END])])
    return JpegFile(columns, rows, components, scans, end, bare, tuple(applications))


def read_jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield each marker and where its body starts and ends, up to the end marker.

    A body starts after its two bytes of length; the body of a scan includes its data.
    """
    at, fill_bytes = 2, 0
    for segments in count(1):
        found = MARKER.match(content, at)
        if found is None:
            raise ValueError("No marker where a segment ends.")
        fill_bytes += found.end() - at - 2
        require_few(segments + fill_bytes)
        marker, start = found[1][0], found.end()
        at = start
        if marker not in WITHOUT_BODY:
            at += struct.unpack_from(">H", content, start)[0]
            start += 2
        if not start <= at <= len(content):
            raise ValueError("A segment is cut off.")
        if marker == SCAN:
            at = _find_scan_end(content, at)
        yield marker, start, at
        if marker == END:
            return


def _find_scan_end(content: bytes, start: int) -> int:
    found = SCAN_END.search(content, start)
    if found is None:
        raise ValueError("The end marker is missing.")
    return found.start()


def _require_few_scans(scans: int) -> None:
    if scans > MAXIMUM_JPEG_SCANS:
        raise ImageTooLargeError(
            f"The JPEG has more than {MAXIMUM_JPEG_SCANS} scans. Save it again as PNG."
        )


def _require_read_process(marker: int, body: bytes) -> None:
    """Refuse all processes and depths except the usual ones; see the module."""
    bits = READ_BITS if marker == HIERARCHY else body[0]
    if marker in READ_FRAMES and bits == READ_BITS:
        return
    process = "hierarchical" if marker == HIERARCHY else f"SOF{marker - SOF0}"
    raise UnsupportedMediaTypeError(
        f"The JPEG is of a rare kind ({process}, {bits} bits); baseline and progressive JPEG of "
        "8 bits are accepted, and neither lossless nor arithmetic-coded ones. Save it as PNG."
    )


def _to_bare_scan(
    content: bytes, start: int, end: int, is_progressive: bool, lacking: dict[int, bytearray]
) -> list[bytes]:
    """Return what to keep of a scan, and note in `lacking` which bits are still to come.

    A sequential scan holds all coefficients, whatever its last three numbers are: some writers
    put zeros there.
    """
    components = content[start]
    band_at = start + 1 + 2 * components
    band = content[band_at : band_at + 3] if is_progressive else bytes([0, COEFFICIENTS - 1, 0])
    first, last, bits = band
    for number in content[start + 1 : band_at : 2]:
        reached = lacking[number]
        reached[first : last + 1] = bytes([bits & 0xF]) * len(reached[first : last + 1])
    head = b"\xff" + bytes([SCAN]) + content[start - 2 : band_at]
    return [head, band, content[band_at + 3 : end]]
