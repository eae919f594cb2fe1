"""Build a report of any kind, as the bytes of a DICOM file."""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from headcirc.overlay import Picture
from headcirc.reports.dicom import capture, measurement_report, obstetric_report, segmentation
from headcirc.reports.dicom.finding import Finding
from headcirc.reports.dicom.standard_modules import read_modules_on_demand

KINDS = (measurement_report.KIND, obstetric_report.KIND, segmentation.KIND, capture.KIND)


def to_report_file(
    kind: str,
    finding: Finding,
    *,
    mask: NDArray[np.bool_] | None,
    draw_overlay: Callable[[], Picture],
) -> bytes:
    """Build one kind of report about a finding.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    finding : Finding
    mask : (rows, columns) bool, frame grid, or None
        None without a head.
    draw_overlay : callable
        Draws the captioned overlay; called for a capture alone.

    Returns
    -------
    bytes
        A DICOM file (PS3.10).

    Raises
    ------
    NoHeadFoundError, PixelSizeMissingError, UnreliableResultError, InvalidFrameError,
    UnusableHeaderError
    """
    read_modules_on_demand()
    if kind == measurement_report.KIND:
        return to_dicom_file(measurement_report.to_measurement_report(finding))
    if kind == obstetric_report.KIND:
        return to_dicom_file(obstetric_report.to_obstetric_report(finding))
    if kind == capture.KIND:
        return to_dicom_file(capture.to_capture(finding, draw_overlay()))
    assert kind == segmentation.KIND, kind
    finding.automatic.require_head()  # a person's ellipse has no mask
    assert mask is not None, "a head has a mask"
    return to_dicom_file(segmentation.to_segmentation(finding, mask))


def to_dicom_file(made: Dataset) -> bytes:
    """Return a DICOM object as a file, with preamble and file meta information."""
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
