"""Make a frame of one picture in a DICOM file: the region with the picture, and its scale."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from headcirc.dicom_source import DicomSource
from headcirc.errors import InvalidFrameError
from headcirc.geometry import (
    FROM_DICOM,
    FROM_REQUEST,
    CalibratedRegion,
    Frame,
    PixelSpacing,
)
from headcirc.readers.dicom.calibration import (
    OF_EACH_FRAME,
    UNUSABLE,
    DicomCalibration,
    read_calibration,
)
from headcirc.readers.dicom.decoders import decode_grey
from headcirc.readers.dicom.file import (
    DicomFile,
    open_file,
    refusing_damaged_dicom,
    to_report_header,
)
from headcirc.readers.dicom.gestational_age import FileAge, read_gestational_age
from headcirc.readers.dicom.picture import Box, blank_between, find_box, fits_picture, to_whole
from headcirc.readers.dicom.pixels import Layout, has_window, read_layout
from headcirc.readers.grey import EIGHT_BITS, is_narrow
from headcirc.readers.limits import require_accepted_size
from headcirc.readers.reader import ReadOptions

MAXIMUM_PIXELS = 16_000_000
"""Pixels of one frame; the screens of ultrasound devices have at most a few millions."""
EIGHT_BIT_SAMPLES = EIGHT_BITS.bit_length()


@dataclass(frozen=True)
class Pictures:
    """A DICOM file whose frames can be decoded, and what they have in common.

    Attributes
    ----------
    file : DicomFile
    layout : Layout
    header : Dataset
        What reports repeat of the file's header.
    age : FileAge
        The gestational age that the file states.
    options : ReadOptions
    """

    file: DicomFile
    layout: Layout
    header: Dataset
    age: FileAge
    options: ReadOptions

    def to_frame(self, grey: NDArray[np.uint8], index: int) -> Frame:
        """Return the region with the picture of one frame, and all that is known of its scale.

        Parameters
        ----------
        grey : (rows, columns) uint8
            The stored picture.
        index : int
            Its number in the file.
        """
        calibration = self._read_calibration(index)
        box = find_box(calibration.pictures, grey)
        if not fits_picture(box, grey):
            calibration, box = UNUSABLE, to_whole(grey)
        return Frame(
            blank_between(grey, box, calibration.pictures),
            to_calibrations(calibration, box, self.options.pixel_spacing),
            has_narrow_range=self._may_be_narrow and is_narrow(grey),
            has_unusable_calibration=calibration.is_unusable,
            source=DicomSource(
                self.header,
                index,
                self.layout.frames,
                box.left_px,
                box.top_px,
                gestational_age_days=self.age.days,
                has_unusable_gestational_age=self.age.is_unusable,
            ),
        )

    @cached_property
    def _may_be_narrow(self) -> bool:
        """Return whether nothing says which samples are black and white."""
        with refusing_damaged_dicom():
            is_deep = self.layout.bits_stored > EIGHT_BIT_SAMPLES
            return is_deep and not has_window(self.file.header)

    def _read_calibration(self, index: int) -> DicomCalibration:
        """Return what the file states about a frame; most state the same for all of them."""
        if OF_EACH_FRAME in self.file.header:
            return read_calibration(self.file.header, self.layout, index)
        return self._common_calibration

    @cached_property
    def _common_calibration(self) -> DicomCalibration:
        return read_calibration(self.file.header, self.layout, 0)


def open_pictures(file: DicomFile, options: ReadOptions) -> Pictures:
    """Read what the frames of a file have in common, and refuse frames that are too large.

    Raises
    ------
    UnreadableImageError, UnsupportedMediaTypeError, ImageTooLargeError
    """
    with refusing_damaged_dicom():
        layout = read_layout(file)
        header = to_report_header(file.header)
    maximum_pixels = min(options.maximum_pixels, MAXIMUM_PIXELS)
    require_accepted_size((layout.columns, layout.rows), maximum_pixels)
    return Pictures(file, layout, header, read_gestational_age(file.header), options)


def read_frame(content: bytes, options: ReadOptions) -> Frame:
    """Return the region with the picture of one frame, and all that is known of its scale.

    Parameters
    ----------
    content : bytes
    options : ReadOptions
        A file of several frames needs `frame_index`.

    Raises
    ------
    UnreadableImageError, UnsupportedMediaTypeError, ImageTooLargeError, InvalidFrameError
    """
    pictures = open_pictures(open_file(content), options)
    index = require_frame(options.frame_index, pictures.layout.frames)
    with refusing_damaged_dicom():
        grey = decode_grey(pictures.file, pictures.layout, index)
    return pictures.to_frame(grey, index)


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


def to_calibrations(
    calibration: DicomCalibration, box: Box, stated: PixelSpacing | None
) -> tuple[CalibratedRegion, ...]:
    """Return the calibrated regions in the frame's coordinates, a stated pixel size first.

    Parameters
    ----------
    calibration : DicomCalibration
    box : Box
        The frame's place in the stored picture.
    stated : PixelSpacing or None
        As the caller states it, for the whole frame.
    """
    right_px, bottom_px = box.right_px - box.left_px, box.bottom_px - box.top_px
    whole = (0, 0, right_px, bottom_px)
    found = []
    if stated is not None:
        found.append(CalibratedRegion(*whole, stated, FROM_REQUEST))
    if calibration.is_unusable:
        return tuple(found)
    for each in calibration.pictures:
        if each.spacing is not None:
            left_px, top_px = each.left_px - box.left_px, each.top_px - box.top_px
            right_px, bottom_px = each.right_px - box.left_px, each.bottom_px - box.top_px
            found.append(
                CalibratedRegion(left_px, top_px, right_px, bottom_px, each.spacing, FROM_DICOM)
            )
    if calibration.pixel_spacing is not None:
        found.append(
            CalibratedRegion(
                *whole, calibration.pixel_spacing, FROM_DICOM, is_from_pixel_spacing=True
            )
        )
    return tuple(found)
