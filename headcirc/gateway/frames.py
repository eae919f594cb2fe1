"""Read a received file, one frame at a time: memory does not grow with the length of a cine."""

import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate, get_frame

from headcirc.errors import ImageTooLargeError, UnreadableImageError
from headcirc.readers.dicom import recognises
from headcirc.readers.dicom.file import ignore_warnings, refusing_damaged_dicom

MOST_FRAMES = 1_000_000
MOST_FRAME_BYTES = 100_000_000
"""No ultrasound frame is as large; a file of one frame above this is refused."""
START_BYTES = 132
"""Preamble and mark of a DICOM file."""
UNDEFINED_LENGTH = 0xFFFFFFFF
LONG_LENGTH_VRS = (b"OB", b"OW", b"UN")
OF_SEVERAL_FRAMES = (
    "NumberOfFrames",
    "FrameIncrementPointer",
    "FrameTimeVector",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
)
SUBSAMPLED = "YBR_FULL_422"


@dataclass(frozen=True)
class ReceivedFile:
    """A DICOM file on the disk.

    Attributes
    ----------
    path : Path
    frames : int
    """

    path: Path
    frames: int

    def read_header(self) -> Dataset:
        """Return everything before the pixels.

        Raises
        ------
        UnreadableImageError
        """
        with self.path.open("rb") as stream, refusing_damaged_dicom():
            return dcmread(stream, stop_before_pixels=True)

    def read_frame(self, index: int) -> bytes:
        """Return one frame as a DICOM file of its own, with the same header.

        Raises
        ------
        UnreadableImageError, ImageTooLargeError
        """
        if self.frames == 1:
            return _read_whole(self.path)
        with self.path.open("rb") as stream, refusing_damaged_dicom():
            header = dcmread(stream, stop_before_pixels=True)
            frame, is_encapsulated = _read_pixels(stream, header, index, self.frames)
            for keyword in OF_SEVERAL_FRAMES:
                if keyword in header:
                    del header[keyword]
            groups = header.get("PerFrameFunctionalGroupsSequence")
            if groups:
                header.PerFrameFunctionalGroupsSequence = [groups[index]]
            header.add_new(0x7FE00010, "OB", encapsulate([frame]) if is_encapsulated else frame)
            header["PixelData"].is_undefined_length = is_encapsulated
            buffer = BytesIO()
            dcmwrite(buffer, header)
            return buffer.getvalue()


def open_received(path: Path) -> ReceivedFile:
    """Read the header of a received file.

    Raises
    ------
    UnreadableImageError, ImageTooLargeError
    """
    ignore_warnings()
    with path.open("rb") as stream, refusing_damaged_dicom():
        if not recognises(stream.read(START_BYTES)):
            raise UnreadableImageError("The file is not DICOM.")
        stream.seek(0)
        header = dcmread(stream, stop_before_pixels=True, specific_tags=["NumberOfFrames"])
        stated = header.get("NumberOfFrames")
        frames = 1 if stated in (None, "") else int(stated)
    if not 0 < frames <= MOST_FRAMES:
        raise UnreadableImageError(f"The DICOM file states {frames} frames.")
    return ReceivedFile(path, frames)


def _read_whole(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MOST_FRAME_BYTES:
        raise ImageTooLargeError(
            f"The DICOM file of one frame has {size:,} bytes; the most is {MOST_FRAME_BYTES:,}."
        )
    return path.read_bytes()


def _read_pixels(
    stream: BinaryIO, header: FileDataset, index: int, frames: int
) -> tuple[bytes, bool]:
    """Return the stored bytes of one frame, and whether they are encapsulated.

    Parameters
    ----------
    stream : BinaryIO
        It stands at the element of the pixel data.
    header : FileDataset
    index, frames : int

    Raises
    ------
    ValueError, struct.error, ImageTooLargeError
    """
    is_implicit, is_little = header.original_encoding
    order = "<" if is_little else ">"
    kind, short = struct.unpack(order + "4x2sH", stream.read(8))
    if not is_implicit and kind in LONG_LENGTH_VRS:
        (length,) = struct.unpack(order + "I", stream.read(4))
    else:  # four bytes of length follow the tag
        (length,) = struct.unpack(order + "I", kind + struct.pack(order + "H", short))
    if length == UNDEFINED_LENGTH:
        return get_frame(stream, index, number_of_frames=frames), True
    size = _count_frame_bytes(header)
    if size > MOST_FRAME_BYTES:
        raise ImageTooLargeError(f"A frame has {size:,} bytes; the most is {MOST_FRAME_BYTES:,}.")
    if size * frames > length:
        raise ValueError("The pixel data are shorter than the frames.")
    stream.seek(index * size, 1)
    frame = stream.read(size)
    if len(frame) < size:
        raise ValueError("The file is cut off.")
    return frame, False


def _count_frame_bytes(header: FileDataset) -> int:
    samples = int(header.get("SamplesPerPixel", 1))
    bits = int(header.Rows) * int(header.Columns) * samples * int(header.BitsAllocated)
    if header.PhotometricInterpretation == SUBSAMPLED:
        bits = bits * 2 // 3
    return bits // 8
