"""Read DICOM files: one frame as grey values, and what the file states about its pixel size.

Reading needs pydicom, which the extra `dicom` installs. It is imported with the first DICOM file.
"""

from importlib.util import find_spec
from typing import BinaryIO

from headcirc.errors import UnsupportedMediaTypeError
from headcirc.geometry import Frame
from headcirc.readers.reader import ReadOptions
from headcirc.readers.sequence import FrameSequence

NAME = "DICOM"
SUFFIXES: tuple[str, ...] = (".dcm", ".dicom", ".ima")
MARK, MARK_AT = b"DICM", 128
"""Mark of a DICOM file, after a preamble whose content is free."""


def recognises(content: bytes) -> bool:
    """Return whether the content starts like a DICOM file."""
    return content.startswith(MARK, MARK_AT)


def read(content: bytes, options: ReadOptions) -> Frame:
    """Return one frame of a DICOM file; see `headcirc.readers.decode.decode_frame`."""
    _require_pydicom()
    from headcirc.readers.dicom.frame import read_frame

    return read_frame(content, options)


def open_cine(stream: BinaryIO, options: ReadOptions) -> FrameSequence:
    """Open the frames of a DICOM file; see `headcirc.readers.sequences.open_sequence`."""
    _require_pydicom()
    from headcirc.readers.dicom.cine import DicomCine

    return DicomCine(stream, options)


def _require_pydicom() -> None:
    if find_spec("pydicom") is None:
        raise UnsupportedMediaTypeError(
            "The file is DICOM, which this installation does not read; install the extra: "
            "pip install 'headcirc[dicom]'."
        )
