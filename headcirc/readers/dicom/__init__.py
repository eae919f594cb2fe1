"""Read DICOM files: one frame as grey values, and what the file states about its pixel size.

Reading needs pydicom, which the extra `dicom` installs. It is imported with the first DICOM file.
"""

from importlib.util import find_spec

from headcirc.errors import UnsupportedMediaTypeError
from headcirc.geometry import Frame
from headcirc.readers.reader import ReadOptions

NAME = "DICOM"
SUFFIXES: tuple[str, ...] = (".dcm", ".dicom", ".ima")
MARK, MARK_AT = b"DICM", 128
"""Mark of a DICOM file, after a preamble whose content is free."""


def recognises(content: bytes) -> bool:
    """Return whether the content starts like a DICOM file."""
    return content.startswith(MARK, MARK_AT)


def read(content: bytes, options: ReadOptions) -> Frame:
    """Return one frame of a DICOM file; see `headcirc.readers.decode.decode_frame`."""
    if find_spec("pydicom") is None:
        raise UnsupportedMediaTypeError(
            "The file is DICOM, which this installation does not read; install the extra: "
            "pip install 'headcirc[dicom]'."
        )
    from headcirc.readers.dicom.frame import read_frame

    return read_frame(content, options)
