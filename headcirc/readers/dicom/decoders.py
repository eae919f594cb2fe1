"""Decode the samples of one frame, in each transfer syntax that is read here.

A decoder that is not named here never runs, even if it is installed. Before compressed data reach
a decoder, their own header is compared with that of the file: a decoder allocates what they state.
JPEG is decoded as in JPEG files (`jpeg_stream`), and lossless JPEG of 8 bits by Pillow, at full
size only. RLE's segments are PackBits, which Pillow decodes within the size of the picture.
"""

import io
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate, generate_frames, get_frame
from pydicom.pixels.decoders.base import get_decoder

from headcirc.errors import ImageTooLargeError, UnsupportedMediaTypeError
from headcirc.readers.dicom.file import DicomFile, read_value
from headcirc.readers.dicom.pixels import MONOCHROME, RGB, GreyScale, Layout
from headcirc.readers.jpeg_stream import (
    FRAMES,
    decode_jpeg,
    read_jpeg,
    read_jpeg_segments,
)
from headcirc.readers.limits import MAXIMUM_ELEMENTS

Samples = NDArray[np.generic]
Decode = Callable[[bytes, Layout], tuple[Samples, str]]
"""Returns the samples of an encoded frame, and what they mean."""

NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)
JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
SOF3, SOF55 = 0xC3, 0xF7
JPEG_2000_START = b"\xff\x4f\xff\x51"
"""Start of a codestream and the marker of its sizes."""
JP2_START = b"\x00\x00\x00\x0cjP  "
"""Start of a JP2 file, which some writers put around the codestream."""
NO_TRANSFORM = b"\xff\xee\x00\x0eAdobe\x00\x64" + bytes(5)
"""Adobe's segment of a JPEG whose three components are red, green and blue."""
EIGHT_BIT = 8
RLE_HEADER = struct.Struct("<16I")
RLE_SLACK = 2
"""A frame of RLE data takes at most this many times the bytes of its samples, if it is honest."""


def decode_grey(file: DicomFile, layout: Layout, index: int) -> NDArray[np.uint8]:
    """Decode one frame to grey values, (rows, columns) uint8.

    Raises
    ------
    UnsupportedMediaTypeError
        The transfer syntax, or the process inside, is not read here.
    ImageTooLargeError
    ValueError, RuntimeError and others of `file.DICOM_DAMAGE`
    """
    scale = GreyScale(layout, file.header)
    if _is_native(file):
        return _decode_plain(file, layout, index, scale)
    encoded = _find_encoded(file, layout, index)
    return _decode_encoded(encoded, DECODERS[file.transfer_syntax], layout, scale)


def list_frames(file: DicomFile, layout: Layout) -> Iterator[Callable[[], NDArray[np.uint8]]]:
    """Yield a function for each frame in turn that decodes it; one frame is in memory at a time.

    A frame that cannot be decoded does not end the iteration. Raises as `decode_grey` does.
    """
    scale = GreyScale(layout, file.header)
    if not _is_native(file):
        decode = DECODERS[file.transfer_syntax]
        offsets = _read_offsets(file)
        encoded = generate_frames(
            file.stream, number_of_frames=layout.frames, extended_offsets=offsets
        )
        for each in encoded:
            yield partial(_decode_encoded, each, decode, layout, scale)
        return
    start = file.stream.tell()
    if file.stream.seek(0, io.SEEK_END) - start < layout.frames * _count_frame_bytes(layout):
        raise ValueError("The file is cut off.")
    for index in range(layout.frames):
        file.stream.seek(start)
        yield partial(_decode_plain, file, layout, index, scale)


def _is_native(file: DicomFile) -> bool:
    """Return whether the pixel data are not encoded; refuse an encoding that is not read here."""
    syntax, is_encapsulated = file.transfer_syntax, file.pixel_bytes is None
    if syntax in NATIVE or syntax in DECODERS:
        if (syntax in DECODERS) != is_encapsulated:
            raise ValueError("The pixel data do not fit the transfer syntax.")
        return not is_encapsulated
    name = syntax.name.replace("/", " ") if syntax.is_transfer_syntax else "an unknown one"
    raise UnsupportedMediaTypeError(
        f"The DICOM file's transfer syntax is not read here: {name}. Uncompressed, RLE, JPEG "
        "(8 bits), JPEG-LS and JPEG 2000 are. Export the frame as PNG."
    )


def _decode_plain(
    file: DicomFile, layout: Layout, index: int, scale: GreyScale
) -> NDArray[np.uint8]:
    return _to_grey(*_decode_native(file, layout, index), layout, scale)


def _decode_encoded(
    encoded: bytes, decode: Decode, layout: Layout, scale: GreyScale
) -> NDArray[np.uint8]:
    return _to_grey(*decode(encoded, layout), layout, scale)


def _to_grey(
    samples: Samples, photometric: str, layout: Layout, scale: GreyScale
) -> NDArray[np.uint8]:
    if samples.shape[:2] != (layout.rows, layout.columns):
        raise ValueError("The decoded picture has another size.")
    return scale.to_grey(samples, photometric)


def _to_options(layout: Layout) -> dict[str, Any]:
    options = {
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": layout.samples,
        "photometric_interpretation": layout.photometric,
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "pixel_representation": int(layout.is_signed),
        "number_of_frames": layout.frames,
        "pixel_keyword": "PixelData",
    }
    return options | ({"planar_configuration": int(layout.is_planar)} if layout.samples > 1 else {})


def _decode_native(file: DicomFile, layout: Layout, index: int) -> tuple[Samples, str]:
    assert file.pixel_bytes is not None
    if file.pixel_bytes < layout.frames * _count_frame_bytes(layout):
        raise ValueError("Pixel data are missing.")
    if _is_plain(file, layout):
        file.stream.seek(index * _count_frame_bytes(layout), io.SEEK_CUR)
        plain = np.frombuffer(file.stream.read(_count_frame_bytes(layout)), np.uint8)
        return plain.reshape(layout.rows, layout.columns), layout.photometric
    decoder = get_decoder(file.transfer_syntax)
    options = _to_options(layout) | {"pixel_vr": file.pixel_kind}
    samples, facts = decoder.as_array(file.stream, index=index, raw=True, **options)
    return samples, str(facts["photometric_interpretation"])


def _is_plain(file: DicomFile, layout: Layout) -> bool:
    """Return whether a frame is stored as one unsigned byte for each pixel, row by row."""
    is_byte = layout.samples == 1 and layout.bits_allocated == EIGHT_BIT and not layout.is_signed
    return is_byte and file.transfer_syntax != uid.ExplicitVRBigEndian  # its words are swapped


def _count_frame_bytes(layout: Layout) -> int:
    """Return how many bytes an uncompressed frame takes."""
    sampled = 2 if layout.photometric == "YBR_FULL_422" else layout.samples
    return layout.rows * layout.columns * sampled * layout.bits_allocated // 8


def _find_encoded(file: DicomFile, layout: Layout, index: int) -> bytes:
    """Return the encoded data of one frame, all of its fragments."""
    extended = _read_offsets(file)
    return get_frame(file.stream, index, number_of_frames=layout.frames, extended_offsets=extended)


def _read_offsets(file: DicomFile) -> tuple[bytes, bytes] | None:
    """Return the extended offset table, where there is one; refuse tables that are too long."""
    (table_bytes,) = struct.unpack("<4xI", file.stream.read(8))
    if table_bytes > 4 * MAXIMUM_ELEMENTS:
        raise ImageTooLargeError(
            f"The DICOM file lists more than {MAXIMUM_ELEMENTS:,} frames. Send fewer."
        )
    file.stream.seek(-8, io.SEEK_CUR)
    offsets, lengths = (
        read_value(file.header, f"ExtendedOffsetTable{part}", maximum_bytes=8 * MAXIMUM_ELEMENTS)
        for part in ("", "Lengths")
    )
    return (offsets, lengths) if offsets and lengths else None


def _decode_jpeg(encoded: bytes, layout: Layout) -> tuple[Samples, str]:
    """Decode baseline and sequential JPEG of 8 bits to luma."""
    _require_start(encoded, JPEG_START)
    jpeg = read_jpeg(encoded)
    _require_size(layout, (jpeg.rows, jpeg.columns, jpeg.components))
    if layout.photometric == RGB:  # a JFIF segment, or another of Adobe, still overrides this
        jpeg = replace(jpeg, bare=jpeg.bare[:2] + NO_TRANSFORM + jpeg.bare[2:])
    grey = decode_jpeg(jpeg)
    return grey, layout.photometric if layout.samples == 1 else MONOCHROME


def _decode_lossless_jpeg(encoded: bytes, layout: Layout) -> tuple[Samples, str]:
    """Decode lossless JPEG (process 14) of 8 bits."""
    marker, bits, *size = _read_jpeg_header(encoded)
    if marker != SOF3 or bits != EIGHT_BIT:
        raise UnsupportedMediaTypeError(
            f"The DICOM file's lossless JPEG has {bits} bits a sample; 8 are read. Export the "
            "frame as PNG."
        )
    _require_size(layout, tuple(size))
    with Image.open(io.BytesIO(encoded), formats=("JPEG",)) as image:
        return np.asarray(image), layout.photometric


def _decode_jpeg_ls(encoded: bytes, layout: Layout) -> tuple[Samples, str]:
    marker, bits, *size = _read_jpeg_header(encoded)
    if marker != SOF55 or bits > layout.bits_allocated:
        raise ValueError("No JPEG-LS data, or of too many bits.")
    _require_size(layout, tuple(size))
    encoded = encoded.rstrip(b"\0")  # which makes the length even
    if not encoded.endswith(JPEG_END):  # the decoder would take half a minute of zeros for pixels
        raise ValueError("The end marker is missing.")
    return _decode_by_plugin(uid.JPEGLSLossless, "pyjpegls", encoded, layout)


def _decode_jpeg_2000(encoded: bytes, layout: Layout) -> tuple[Samples, str]:
    """Decode JPEG 2000, also the high-throughput one."""
    if encoded.startswith(JP2_START):
        encoded = encoded[max(encoded.find(JPEG_2000_START), 0) :]
    _require_start(encoded, JPEG_2000_START)
    right, bottom, left, top = struct.unpack_from(">4I", encoded, 8)
    (components,) = struct.unpack_from(">H", encoded, 40)
    _require_size(layout, (bottom - top, right - left, components))
    return _decode_by_plugin(uid.JPEG2000, "pylibjpeg", encoded, layout)


def _decode_by_plugin(
    syntax: uid.UID, plugin: str, encoded: bytes, layout: Layout
) -> tuple[Samples, str]:
    options = _to_options(replace(layout, frames=1))
    samples, facts = get_decoder(syntax).as_array(
        encapsulate([encoded], has_bot=False),
        index=0,
        raw=True,
        decoding_plugin=plugin,
        **options,
    )
    return samples, str(facts["photometric_interpretation"])


def _decode_rle(encoded: bytes, layout: Layout) -> tuple[Samples, str]:
    """Decode RLE (DICOM PS3.5, annex G): one PackBits segment for each byte of a sample."""
    bytes_each, pixels = layout.bits_allocated // 8, layout.rows * layout.columns
    count, *offsets = RLE_HEADER.unpack_from(encoded)
    if count != layout.samples * bytes_each:
        raise ValueError("Segments are missing.")
    ends = [*offsets[1:count], len(encoded)]
    planes = [
        # One long row: PackBits of other programs may run across the ends of rows.
        np.asarray(Image.frombytes("L", (pixels, 1), encoded[start:end], "packbits", "L"))
        for start, end in zip(offsets, ends, strict=False)
    ]
    highest_first = np.stack(planes, axis=-1).reshape(layout.rows, layout.columns, -1)
    samples = np.ascontiguousarray(highest_first).view(f">u{bytes_each}")
    return samples[..., 0] if layout.samples == 1 else samples, layout.photometric


def _read_jpeg_header(encoded: bytes) -> tuple[int, int, int, int, int]:
    """Return the marker, bits, rows, columns and components of JPEG or JPEG-LS data."""
    _require_start(encoded, JPEG_START)
    for marker, start, _ in read_jpeg_segments(encoded):
        if marker in FRAMES:
            bits, rows, columns, components = struct.unpack_from(">BHHB", encoded, start)
            return marker, bits, rows, columns, components
    raise ValueError("No frame.")


def _require_start(encoded: bytes, start: bytes) -> None:
    if not encoded.startswith(start):
        raise ValueError("The data do not fit the transfer syntax.")


def _require_size(layout: Layout, size: tuple[int, ...]) -> None:
    """Refuse data of another size than the header's: they do not belong together."""
    if size != (layout.rows, layout.columns, layout.samples):
        raise ValueError("The encoded picture has another size than the header says.")


DECODERS: Mapping[uid.UID, Decode] = {
    uid.JPEGBaseline8Bit: _decode_jpeg,
    uid.JPEGExtended12Bit: _decode_jpeg,
    uid.JPEGLossless: _decode_lossless_jpeg,
    uid.JPEGLosslessSV1: _decode_lossless_jpeg,
    uid.JPEGLSLossless: _decode_jpeg_ls,
    uid.JPEGLSNearLossless: _decode_jpeg_ls,
    uid.JPEG2000Lossless: _decode_jpeg_2000,
    uid.JPEG2000: _decode_jpeg_2000,
    uid.HTJ2KLossless: _decode_jpeg_2000,
    uid.HTJ2KLosslessRPCL: _decode_jpeg_2000,
    uid.HTJ2K: _decode_jpeg_2000,
    uid.RLELossless: _decode_rle,
}
