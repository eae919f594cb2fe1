"""Turn an ellipse into millimetres.

The ellipse is mapped from pixels to millimetres as a whole: where pixels are not square, the axes
of a rotated ellipse must not be scaled one by one. The pixel size is never guessed. If no
calibrated region contains the head, there are no values in millimetres.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headcirc.errors import PixelSizeConflictError
from headcirc.geometry import (
    FROM_DICOM,
    FROM_REQUEST,
    FROM_SCALE_BAR,
    CalibratedRegion,
    Ellipse,
    FloatArray,
    Frame,
    PixelSpacing,
    to_axes,
    to_ellipse_perimeter,
)
from headcirc.model.site import SiteFacts

MAXIMUM_DIFFERENCE = 0.01
"""Two statements of one pixel size may differ by this share; more than that is a contradiction."""
OUTLINE_POINTS = 72
CONTAINED_SHARE = 0.95
"""Smallest share of the visible outline that a region must hold to contain a head."""


@dataclass(frozen=True)
class HeadMeasurement:
    """The head in millimetres.

    Attributes
    ----------
    head_circumference_mm : float
        Perimeter of the ellipse on the outer edge of the skull, corrected where there is a site
        file.
    head_circumference_raw_mm : float
        The same perimeter without a site's correction.
    biparietal_diameter_mm, occipitofrontal_diameter_mm : float
        Minor and major axis of that ellipse, outer edge to outer edge. Some charts use the
        outer-to-inner diameter instead.
    cephalic_index : float
        Biparietal over occipitofrontal diameter, in (0, 1].
    area_mm2 : float
        Area of the ellipse.
    """

    head_circumference_mm: float
    head_circumference_raw_mm: float
    biparietal_diameter_mm: float
    occipitofrontal_diameter_mm: float
    cephalic_index: float
    area_mm2: float

    def correct(self, site: SiteFacts) -> "HeadMeasurement":
        """Apply a site's correction to the circumference; axes, index and area stay."""
        corrected_mm = site.correct(self.head_circumference_raw_mm)
        return replace(self, head_circumference_mm=corrected_mm)


def measure_head(ellipse: Ellipse, spacing: PixelSpacing) -> HeadMeasurement:
    """Map the ellipse to millimetres and compute its measurements.

    Parameters
    ----------
    ellipse : Ellipse
        In frame pixels.
    spacing : PixelSpacing
        Pixel spacing of the region that contains the ellipse.

    Returns
    -------
    HeadMeasurement
        The circumference is `geometry.to_ellipse_perimeter`, Ramanujan's second approximation.
    """
    to_mm = np.diag([spacing.column_mm, spacing.row_mm])
    semi_major_mm, semi_minor_mm, _ = to_axes(to_mm @ ellipse.to_shape_matrix())
    circumference_mm = to_ellipse_perimeter(semi_major_mm, semi_minor_mm)
    return HeadMeasurement(
        head_circumference_mm=circumference_mm,
        head_circumference_raw_mm=circumference_mm,
        biparietal_diameter_mm=2 * semi_minor_mm,
        occipitofrontal_diameter_mm=2 * semi_major_mm,
        cephalic_index=semi_minor_mm / semi_major_mm,
        area_mm2=math.pi * semi_major_mm * semi_minor_mm,
    )


@dataclass(frozen=True)
class ChosenCalibration:
    """The calibrated region that a head is measured in.

    Attributes
    ----------
    region : CalibratedRegion or None
        None where no pixel size is known for this head.
    is_dicom_unusable : bool
        The DICOM file states pixel sizes, but none of them can be used for this head.
    """

    region: CalibratedRegion | None
    is_dicom_unusable: bool = False


def choose_calibration(frame: Frame, ellipse: Ellipse) -> ChosenCalibration:
    """Choose the calibrated region for a head.

    A stated pixel size comes first, then the DICOM region that contains the head, then DICOM's
    Pixel Spacing.

    Parameters
    ----------
    frame : Frame
    ellipse : Ellipse
        The head, in frame pixels.

    Raises
    ------
    PixelSizeConflictError
        The stated pixel size differs from that of the DICOM file.
    """
    stated = [each for each in frame.calibrations if each.source in (FROM_REQUEST, FROM_SCALE_BAR)]
    own = [each for each in frame.calibrations if each.source == FROM_DICOM]
    found = _choose_dicom(own, ellipse, frame)
    is_unusable = found is None and (bool(own) or frame.has_unusable_calibration)
    if not stated:
        return ChosenCalibration(found, is_unusable)
    if found is not None and not _agree(stated[0].spacing, found.spacing):
        raise PixelSizeConflictError(
            f"The pixel size {_to_text(stated[0].spacing)} was given, but the DICOM file states "
            f"{_to_text(found.spacing)}, which is more than {MAXIMUM_DIFFERENCE:.0%} away; give no "
            "pixel size to use that of the file, or check which one is right."
        )
    return ChosenCalibration(stated[0], is_unusable)


def _choose_dicom(
    own: list[CalibratedRegion], ellipse: Ellipse, frame: Frame
) -> CalibratedRegion | None:
    """Return the region that contains the head; None if there is none, or if regions disagree."""
    pixel_spacing = [each for each in own if each.is_from_pixel_spacing]
    regions = [each for each in own if not each.is_from_pixel_spacing]
    containing = [each for each in regions if _contains(each, ellipse, frame.pixels.shape)]
    if regions and not containing:
        return None
    candidates = [*containing, *pixel_spacing]
    if any(not _agree(candidates[0].spacing, each.spacing) for each in candidates[1:]):
        return None
    return next(iter(candidates), None)


def _agree(first: PixelSpacing, second: PixelSpacing) -> bool:
    sides = ((first.column_mm, second.column_mm), (first.row_mm, second.row_mm))
    return all(abs(one / other - 1) <= MAXIMUM_DIFFERENCE for one, other in sides)


def _to_text(spacing: PixelSpacing) -> str:
    sides = dict.fromkeys(f"{side_mm:.4g}" for side_mm in (spacing.column_mm, spacing.row_mm))
    return " x ".join(sides) + " mm"


def _contains(region: CalibratedRegion, ellipse: Ellipse, shape: tuple[int, ...]) -> bool:
    """Return whether nearly all of the ellipse that lies in the frame lies in a region."""
    turns = np.linspace(0, 2 * np.pi, OUTLINE_POINTS, endpoint=False)
    points = ellipse.to_shape_matrix() @ np.stack((np.cos(turns), np.sin(turns)))
    points += np.array([[ellipse.center_x_px], [ellipse.center_y_px]])
    rows, columns = shape
    is_visible = _are_inside(points, (0, 0), (columns - 1, rows - 1))
    is_inside = _are_inside(
        points, (region.left_px, region.top_px), (region.right_px, region.bottom_px)
    )
    held, visible = np.count_nonzero(is_visible & is_inside), np.count_nonzero(is_visible)
    return bool(visible > 0 and held >= CONTAINED_SHARE * visible)


def _are_inside(
    points: FloatArray, first: tuple[float, float], last: tuple[float, float]
) -> NDArray[np.bool_]:
    """Return which points, (2, n), lie on pixels from the first (x, y) to the last, inclusive."""
    low, high = np.array(first)[:, None] - 0.5, np.array(last)[:, None] + 0.5
    return np.asarray(((points >= low) & (points <= high)).all(axis=0))
