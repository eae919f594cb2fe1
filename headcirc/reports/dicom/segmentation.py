"""The segmentation: a DICOM SEG with the head's mask on the stored picture.

Ultrasound has no position in space, and viewers open no segmentation without one. The object
therefore states a nominal one: the pixel size is that of the picture, position and direction mean
nothing, and the description says so.
"""

import numpy as np
from highdicom import (
    AlgorithmIdentificationSequence,
    PixelMeasuresSequence,
    PlaneOrientationSequence,
    PlanePositionSequence,
)
from highdicom.seg import Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from headcirc.errors import InvalidFrameError, UnusableHeaderError
from headcirc.reports.dicom import codes
from headcirc.reports.dicom.finding import Finding
from headcirc.reports.dicom.identity import MANUFACTURER, finish, to_identification, to_uid
from headcirc.reports.dicom.source_header import to_evidence

KIND = "seg"
LABEL = "FETAL_HEAD"
DESCRIPTION = "Automatic, not verified; nominal geometry"
"""At most 64 characters."""


def to_segmentation(finding: Finding, mask: NDArray[np.bool_]) -> Dataset:
    """Build the segmentation of a finding.

    Parameters
    ----------
    finding : Finding
        Of an object with one frame.
    mask : (rows, columns) bool, frame grid
        True inside the head.

    Raises
    ------
    InvalidFrameError
        The object has several frames.
    NoHeadFoundError, PixelSizeMissingError, UnusableHeaderError
    """
    finding.require_head()
    if finding.source.frames != 1:
        raise InvalidFrameError(
            f"The DICOM file has {finding.source.frames} frames; a segmentation of ultrasound can "
            "refer to a file of one frame only. Ask for the structured report, which refers to a "
            "frame, or send the frame as a file of its own."
        )
    evidence = to_evidence(finding.source)
    made = Segmentation(
        [evidence],
        pixel_array=_to_stored_grid(finding, mask, evidence),
        segmentation_type="BINARY",
        segment_descriptions=[_to_segment(finding, evidence)],
        content_label=LABEL,
        content_description=DESCRIPTION,
        pixel_measures=_to_pixel_measures(finding),
        **to_identification(finding, evidence, KIND),
    )
    _add_nominal_place(made)
    _set_dimension_uid(made, to_uid("dimension", str(made.SOPInstanceUID)))
    return finish(made, finding, evidence)


def _to_stored_grid(
    finding: Finding, mask: NDArray[np.bool_], evidence: Dataset
) -> NDArray[np.uint8]:
    """Return (rows, columns) of the stored picture, of which the frame may be a part."""
    stored = np.zeros((evidence.Rows, evidence.Columns), np.uint8)
    top, left = finding.source.top_px, finding.source.left_px
    rows, columns = mask.shape
    if top + rows > evidence.Rows or left + columns > evidence.Columns:
        raise UnusableHeaderError(
            "The DICOM file's Rows and Columns are smaller than its picture; send the file as the "
            "scanner or the archive stores it."
        )
    stored[top : top + rows, left : left + columns] = mask
    return stored


def _to_segment(finding: Finding, evidence: Dataset) -> SegmentDescription:
    model = finding.answer.model
    return SegmentDescription(
        segment_number=1,
        segment_label="Fetal head",
        segmented_property_category=codes.ANATOMICAL_STRUCTURE,
        segmented_property_type=codes.HEAD,
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=model.name,
            family=codes.ARTIFICIAL_INTELLIGENCE,
            version=model.version,
            source=MANUFACTURER,
            parameters={"model sha256": finding.model_sha256, "precision": model.precision},
        ),
        tracking_id="fetal head, mask",
        tracking_uid=to_uid("mask", str(evidence.SOPInstanceUID)),
    )


def _to_pixel_measures(finding: Finding) -> PixelMeasuresSequence:
    image = finding.answer.image
    assert image.pixel_size_x_mm is not None, "`require_head` has checked it"
    assert image.pixel_size_y_mm is not None, "`require_head` has checked it"
    return PixelMeasuresSequence(
        pixel_spacing=(image.pixel_size_y_mm, image.pixel_size_x_mm), slice_thickness=1.0
    )


def _add_nominal_place(made: Dataset) -> None:
    """Add a position and a direction, without which viewers open no segmentation."""
    shared = made.SharedFunctionalGroupsSequence[0]
    shared.PlaneOrientationSequence = PlaneOrientationSequence("PATIENT", (1, 0, 0, 0, 1, 0))
    for frame in made.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence = PlanePositionSequence("PATIENT", (0.0, 0.0, 0.0))


def _set_dimension_uid(made: Dataset, uid: str) -> None:
    """Replace the random UID of the frame's index, so that a repeat gives the same bytes."""
    for each in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        each.DimensionOrganizationUID = uid
