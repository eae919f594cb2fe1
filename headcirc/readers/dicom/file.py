"""Read the header of a DICOM file, and find its pixel data, within limits on both.

pydicom parses. A hostile file could make it read millions of elements or inflate gigabytes, so
this module limits both. pydicom's warnings quote values, which may identify a patient, so they are
ignored here and everywhere below.
"""

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from headcirc.errors import ImageTooLargeError, UnreadableImageError, UnsupportedMediaTypeError
from headcirc.readers.limits import CountedFile
from headcirc.readers.still_image import DAMAGE

DICOM_DAMAGE = (*DAMAGE, RuntimeError, ArithmeticError)
"""What pydicom and its decoders raise on damaged files."""
META_AT = 132
META_GROUP = 0x0002
PIXEL_DATA = 0x7FE00010
PIXEL_DATA_TAGS = (PIXEL_DATA, 0x7FE00008, 0x7FE00009)
"""Pixel data as integers, as floats and as doubles; only the first is read here."""
UNDEFINED_LENGTH = 0xFFFFFFFF
LONG_LENGTH_VRS = (b"OB", b"OW", b"UN")
"""Kinds of pixel data, whose length takes four bytes and follows two that are unused."""
MAXIMUM_INFLATED_BYTES = 100_000_000
MAXIMUM_VALUE_BYTES = 100_000
"""A longer value of an attribute that is parsed here is damaged."""
MAXIMUM_GROUPS_BYTES = 2_000_000
"""The same for the attributes of each frame."""
MAXIMUM_ITEMS = 10_000
"""Items of one sequence, with those inside them; pydicom takes 40 microseconds for each."""
ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")


@dataclass(frozen=True)
class DicomFile:
    """The parts of a DICOM file.

    Attributes
    ----------
    header : Dataset
        All attributes before the pixel data.
    transfer_syntax : UID
        How the pixel data are encoded.
    stream : BinaryIO
        The file; it stands at the first byte of the pixel data.
    pixel_bytes : int or None
        Length of the pixel data; None where they are encapsulated, which states none.
    pixel_kind : str
        `OB` or `OW`: bytes, or words of two bytes.
    """

    header: Dataset
    transfer_syntax: UID
    stream: BinaryIO
    pixel_bytes: int | None
    pixel_kind: str


@contextmanager
def refusing_damaged_dicom() -> Iterator[None]:
    """Turn what pydicom raises on a damaged file into an UnreadableImageError, without its text."""
    try:
        yield
    except DICOM_DAMAGE:
        raise UnreadableImageError(
            "The DICOM file is damaged or cut off; send the complete file. If other programs show "
            "the picture, export the frame as PNG and state its pixel size."
        ) from None


def ignore_warnings() -> None:
    """Keep pydicom's warnings out of logs and off the terminal; they quote the file's values.

    The filters stay, because Python's own way to restore them is not safe in threads.
    """
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom")


@dataclass(frozen=True)
class Head:
    """What comes before the pixel data, and the file, which stands behind it."""

    header: Dataset
    transfer_syntax: UID
    stream: BinaryIO
    is_little: bool


def read_head(stream: BinaryIO) -> Head:
    """Read all attributes before the pixel data.

    Raises
    ------
    ImageTooLargeError
        The stream refuses so many reads, or it inflates to too many bytes.
    ValueError and others of `DICOM_DAMAGE`
    """
    ignore_warnings()
    stream.seek(META_AT)
    meta = read_dataset(stream, False, True, stop_when=_is_after_meta)
    transfer_syntax = UID(str(meta.get("TransferSyntaxUID", "")).strip())
    if not transfer_syntax:
        raise ValueError("No transfer syntax is stated.")
    if transfer_syntax == DeflatedExplicitVRLittleEndian:
        stream = CountedFile(_inflate(stream.read()))
        transfer_syntax = ExplicitVRLittleEndian
    is_implicit, is_little = _read_encoding(transfer_syntax)
    header = read_dataset(stream, is_implicit, is_little, stop_when=_is_pixel_data)
    return Head(header, transfer_syntax, stream, is_little)


def open_file(content: bytes) -> DicomFile:
    """Read the header of a DICOM file in memory; see `open_stream`."""
    return open_stream(CountedFile(content))


def open_stream(stream: BinaryIO) -> DicomFile:
    """Read the header of a DICOM file and find its pixel data.

    Parameters
    ----------
    stream : BinaryIO
        It limits the number of reads, because a hostile header can have millions of elements.

    Raises
    ------
    UnreadableImageError
        The header is damaged or cut off.
    UnsupportedMediaTypeError
        The object is no picture.
    ImageTooLargeError
        The header has too many elements, or inflates to too many bytes.
    """
    with refusing_damaged_dicom():
        head = read_head(stream)
        length, kind = _enter_pixel_data(head)
    pixel_bytes = None if length == UNDEFINED_LENGTH else length
    return DicomFile(head.header, head.transfer_syntax, head.stream, pixel_bytes, kind)


def _is_after_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != META_GROUP


def _is_pixel_data(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag in PIXEL_DATA_TAGS


def _read_encoding(transfer_syntax: UID) -> tuple[bool, bool]:
    """Return whether kinds of values are implicit, and whether numbers are little-endian."""
    if transfer_syntax.is_transfer_syntax:
        return transfer_syntax.is_implicit_VR, transfer_syntax.is_little_endian
    return False, True  # as all compressed ones are, private ones too


def _inflate(deflated: bytes) -> bytes:
    """Return inflated bytes.

    Raises
    ------
    ImageTooLargeError, zlib.error
    """
    inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(deflated, MAXIMUM_INFLATED_BYTES + 1)
    if len(inflated) > MAXIMUM_INFLATED_BYTES:
        raise ImageTooLargeError(
            f"The DICOM file inflates to more than {MAXIMUM_INFLATED_BYTES:,} bytes. Send the "
            "ultrasound frame alone."
        )
    return inflated


def _enter_pixel_data(head: Head) -> tuple[int, str]:
    """Move to the first byte of the pixel data; return their length and kind.

    Raises
    ------
    UnsupportedMediaTypeError
        The object is no picture.
    ValueError, struct.error
        The pixel data are missing.
    """
    order, stream = "<" if head.is_little else ">", head.stream
    start = stream.read(8)
    if not start and "Rows" not in head.header:
        raise UnsupportedMediaTypeError(
            "The DICOM file holds no picture; it is a report, a list of files (DICOMDIR) or "
            "something else. Send the file that holds the ultrasound picture."
        )
    group, element, kind, short = struct.unpack(order + "HH2sH", start)
    if group << 16 | element != PIXEL_DATA:
        raise ValueError("No pixel data, or none of whole numbers.")
    if kind in LONG_LENGTH_VRS and short == 0:
        (length,) = struct.unpack(order + "I", stream.read(4))
        return length, kind.decode()
    # Implicit: four bytes of length follow the tag.
    (length,) = struct.unpack(order + "I", kind + struct.pack(order + "H", short))
    return length, "OW"


def read_value(dataset: Dataset, keyword: str, *, maximum_bytes: int = MAXIMUM_VALUE_BYTES) -> Any:
    """Return the value of an attribute, or None where it is missing or empty.

    Raises
    ------
    ValueError
        It is longer than any that is needed here, or cannot be read.
    """
    if keyword not in dataset:
        return None
    raw = dataset.get_item(keyword)
    if isinstance(raw, RawDataElement):
        stored = raw.value or b""
        items = sum(stored.count(tag) for tag in ITEM_TAGS) if raw.VR in (None, "SQ", "UN") else 0
        if len(stored) > maximum_bytes or items > MAXIMUM_ITEMS:
            raise ValueError("A value is too long.")
    value = dataset[keyword].value
    return None if value in ("", None) else value


def read_number(dataset: Dataset, keyword: str) -> float | None:
    """Return the first number of an attribute, or None where it is missing or empty.

    Raises
    ------
    ValueError, TypeError
        It is no number.
    """
    value = read_value(dataset, keyword)
    if value is None:
        return None
    first = value[0] if hasattr(value, "__getitem__") and not isinstance(value, str) else value
    return float(first)


def to_report_header(header: Dataset) -> Dataset:
    """Return the standard attributes of a header, for reports; see `DicomSource`."""
    tags = [tag for tag in header.keys() if _is_reported(tag)]  # noqa: SIM118 - as stored, unparsed
    elements = {tag: header.get_item(tag) for tag in tags}
    kept = Dataset({tag: each for tag, each in elements.items() if not _is_long(each)})
    is_implicit, is_little = header.original_encoding
    kept.set_original_encoding(is_implicit, is_little, header.original_character_set)
    return kept


def _is_long(element: object) -> bool:
    """Return whether a value is longer than any that a report copies."""
    return isinstance(element, RawDataElement) and len(element.value or b"") > MAXIMUM_GROUPS_BYTES


def _is_reported(tag: BaseTag) -> bool:
    """Leave out private attributes, curves, overlays, icons and offsets of pixel data."""
    is_bulk = tag.group >= 0x5000 or tag == 0x00880200  # noqa: PLR2004
    return not tag.is_private and not is_bulk
