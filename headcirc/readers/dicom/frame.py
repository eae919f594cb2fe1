"""Make a frame of one picture in a DICOM file: the region with the picture, and its scale."""

from headcirc.dicom_source import DicomSource
from headcirc.errors import InvalidFrameError
from headcirc.geometry import Frame
from headcirc.readers.dicom.decoders import decode_grey
from headcirc.readers.dicom.file import open_file, refusing_damaged_dicom, to_report_header
from headcirc.readers.dicom.pixels import read_layout
from headcirc.readers.limits import require_accepted_size
from headcirc.readers.reader import ReadOptions


def read_frame(content: bytes, options: ReadOptions) -> Frame:
    """Return one frame of a DICOM file.

    Parameters
    ----------
    content : bytes
    options : ReadOptions
        A file of several frames needs `frame_index`.

    Raises
    ------
    UnreadableImageError, UnsupportedMediaTypeError, ImageTooLargeError, InvalidFrameError
    """
    file = open_file(content)
    with refusing_damaged_dicom():
        layout = read_layout(file)
    require_accepted_size((layout.columns, layout.rows), options.maximum_pixels)
    index = require_frame(options.frame_index, layout.frames)
    with refusing_damaged_dicom():
        grey = decode_grey(file, layout, index)
        header = to_report_header(file.header)
    return Frame(grey, source=DicomSource(header, index, layout.frames))


def require_frame(frame_index: int | None, frames: int) -> int:
    """Return the frame to read, counted from 0.

    Raises
    ------
    InvalidFrameError
        There are several frames and none is asked for, or there is no such frame.
    """
    if frame_index is None and frames > 1:
        raise InvalidFrameError(
            f"The DICOM file holds {frames:,} frames; say which one to measure, from 0 to "
            f"{frames - 1}."
        )
    if not 0 <= (frame_index or 0) < frames:
        raise InvalidFrameError(
            f"Frame {frame_index} was asked for; the file holds {frames:,}, counted from 0."
        )
    return frame_index or 0
