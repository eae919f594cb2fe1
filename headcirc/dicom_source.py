"""Define what is kept of the DICOM object that a frame was read from."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


@dataclass(frozen=True)
class DicomSource:
    """The DICOM object that a frame was read from, for reports that refer to it.

    The stored picture has the header's Rows and Columns. A frame may be a part of it: add
    `left_px` to the frame's x coordinates, and `top_px` to its y coordinates, to get coordinates in
    the stored picture. Both count pixel centres from 0.

    Attributes
    ----------
    header : pydicom.Dataset
        The standard attributes of the object, without its pixel data and without private ones. They
        identify a patient: never log, store or send them, except in a report about this patient.
    frame_index : int
        The frame that was read, counted from 0.
    frames : int
        How many frames the object has.
    left_px, top_px : int
        Where the frame's first pixel is in the stored picture.
    gestational_age_days : int or None
        As the file states it, on the day of the picture, plausible or not; None if it states none.
    has_unusable_gestational_age : bool
        It states a damaged one, or two that differ.
    """

    header: "Dataset" = field(repr=False, compare=False)
    frame_index: int = 0
    frames: int = 1
    left_px: int = 0
    top_px: int = 0
    gestational_age_days: int | None = None
    has_unusable_gestational_age: bool = False
