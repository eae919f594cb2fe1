"""Collect warning codes for a result, and decide whether it is acceptable.

The limits in this module detect gross failures. They do not depend on the model, and were chosen
on out-of-fold answers for HC18's images (`python -m evaluation.choices`). The limits on uncertainty
features are fitted for each model (`python -m evaluation.out_of_fold fit`); a model without an
uncertainty model has only the limits of this module. No limit detects every error. This
stage changes no measurement: a result that is not acceptable keeps its value.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headcirc.geometry import Ellipse, HeadMask, to_half_extents
from headcirc.model.manifest import HeadPlaneFacts, MaskFacts
from headcirc.model.uncertainty_model import UncertaintyLimits
from headcirc.quality.uncertainty import Uncertainty
from headcirc.raster import to_filled_ellipse

NO_HEAD_FOUND = "no-head-found"
PIXEL_SIZE_MISSING = "pixel-size-missing"
HEAD_TOUCHES_BORDER = "head-touches-border"
POOR_ELLIPSE_FIT = "poor-ellipse-fit"
FRAGMENTED_MASK = "fragmented-mask"
IMPLAUSIBLE_SIZE = "implausible-size"
UNCERTAIN_MASK = "uncertain-mask"
LARGE_EXPECTED_ERROR = "large-expected-error"
LOW_CONTRAST = "low-contrast"
SHADOWED_BOUNDARY = "shadowed-boundary"
NARROW_SAMPLE_RANGE = "narrow-sample-range"
NOT_A_HEAD_PLANE = "not-a-head-plane"
DICOM_CALIBRATION_UNUSABLE = "dicom-calibration-unusable"
DICOM_PIXEL_SPACING_USED = "dicom-pixel-spacing-used"
GESTATIONAL_AGE_CONFLICT = "gestational-age-conflict"
DICOM_GESTATIONAL_AGE_UNUSABLE = "dicom-gestational-age-unusable"
EXTREME_Z_SCORE = "extreme-z-score"

DISQUALIFYING = frozenset(
    {
        NO_HEAD_FOUND,
        NOT_A_HEAD_PLANE,
        POOR_ELLIPSE_FIT,
        FRAGMENTED_MASK,
        IMPLAUSIBLE_SIZE,
        UNCERTAIN_MASK,
        LARGE_EXPECTED_ERROR,
    }
)
"""Warnings that make a result not acceptable. Low contrast, shadow and a narrow sample range only
explain a result; the score for large errors decides about it."""

MINIMUM_FIT_OVERLAP = 0.91
"""Minimum overlap (intersection over union) of mask and ellipse."""
MAXIMUM_REJECTED_SHARE = 0.25
"""Maximum area of another component, as a share of the head's area."""
PLAUSIBLE_HEAD_CIRCUMFERENCE_MM = (40.0, 400.0)
"""HC18 has 44 to 346 mm; growth charts end near 373 mm (+3 SD at 40 weeks)."""
MINIMUM_CEPHALIC_INDEX = 0.5
"""HC18's heads, without the test exams, have 0.66 to 0.96. Swapped pixel sizes, or the pixel size
of another picture, can give less."""


@dataclass(frozen=True)
class Quality:
    """Result of the quality checks.

    Attributes
    ----------
    warnings : tuple of str
        Stable codes of the checks that failed.
    """

    warnings: tuple[str, ...]

    @property
    def acceptable(self) -> bool:
        """Return False if a person should not rely on the measurement."""
        return not DISQUALIFYING.intersection(self.warnings)


def assess_quality(
    head_mask: HeadMask | None,
    ellipse: Ellipse | None,
    facts: MaskFacts,
    *,
    head_circumference_mm: float | None = None,
    cephalic_index: float | None = None,
    uncertainty: Uncertainty | None = None,
    limits: UncertaintyLimits | None = None,
    image_warnings: tuple[str, ...] = (),
) -> Quality:
    """Collect the warnings that apply to a result.

    Parameters
    ----------
    head_mask : HeadMask or None
    ellipse : Ellipse or None
        In frame pixels.
    facts : MaskFacts
        Limits on the mean probability, from the manifest.
    head_circumference_mm, cephalic_index : float or None
        None if the pixel size is unknown.
    uncertainty, limits : Uncertainty or None, UncertaintyLimits or None
        If either is None, only gross failures are checked.
    image_warnings : tuple of str
        Codes about the whole picture and its file; they hold with and without a head.
    """
    if head_mask is None or ellipse is None:
        return Quality((NO_HEAD_FOUND, *image_warnings))
    rows, columns = head_mask.pixels.shape
    low_mm, high_mm = PLAUSIBLE_HEAD_CIRCUMFERENCE_MM
    known = head_circumference_mm is not None
    checks = {
        PIXEL_SIZE_MISSING: not known,
        HEAD_TOUCHES_BORDER: touches_border(ellipse, rows, columns),
        POOR_ELLIPSE_FIT: to_fit_overlap(head_mask.pixels, ellipse) < MINIMUM_FIT_OVERLAP,
        FRAGMENTED_MASK: head_mask.largest_rejected_share > MAXIMUM_REJECTED_SHARE,
        UNCERTAIN_MASK: head_mask.mean_probability < facts.acceptable_mean_probability,
        IMPLAUSIBLE_SIZE: (
            head_circumference_mm is not None and not low_mm <= head_circumference_mm <= high_mm
        )
        or (cephalic_index is not None and cephalic_index < MINIMUM_CEPHALIC_INDEX),
    }
    if uncertainty is not None and limits is not None:
        checks |= _judge_uncertainty(uncertainty, limits)
    return Quality((*(code for code, holds in checks.items() if holds), *image_warnings))


def find_image_warnings(
    *,
    has_narrow_range: bool = False,
    head_plane_probability: float | None = None,
    head_plane: HeadPlaneFacts | None = None,
    has_unusable_age: bool = False,
    has_age_conflict: bool = False,
) -> tuple[str, ...]:
    """Collect the warnings about the whole picture.

    Parameters
    ----------
    has_narrow_range : bool
        See `geometry.Frame`.
    head_plane_probability, head_plane : float or None, HeadPlaneFacts or None
        The network's output and its limit. If either is None, the kind of plane is not checked.
    has_unusable_age : bool
        The DICOM file states a gestational age that cannot be right.
    has_age_conflict : bool
        The caller states another gestational age than the DICOM file.
    """
    is_known = head_plane_probability is not None and head_plane is not None
    checks = {
        NOT_A_HEAD_PLANE: is_known and head_plane_probability < head_plane.acceptable_probability,  # type: ignore[operator,union-attr]
        NARROW_SAMPLE_RANGE: has_narrow_range,
        DICOM_GESTATIONAL_AGE_UNUSABLE: has_unusable_age,
        GESTATIONAL_AGE_CONFLICT: has_age_conflict,
    }
    return tuple(code for code, holds in checks.items() if holds)


def _judge_uncertainty(uncertainty: Uncertainty, limits: UncertaintyLimits) -> dict[str, bool]:
    score, features = uncertainty.large_error_score, uncertainty.features
    return {
        LARGE_EXPECTED_ERROR: score is not None and score > limits.large_error,
        LOW_CONTRAST: features["lack of contrast"] > limits.lack_of_contrast,
        SHADOWED_BOUNDARY: features["dark share"] > limits.dark_share,
    }


def touches_border(ellipse: Ellipse, rows: int, columns: int) -> bool:
    """Return whether the ellipse extends beyond the frame, so that part of it is not visible."""
    half_x, half_y = to_half_extents(ellipse)
    return bool(
        ellipse.center_x_px - half_x < 0
        or ellipse.center_y_px - half_y < 0
        or ellipse.center_x_px + half_x > columns - 1
        or ellipse.center_y_px + half_y > rows - 1
    )


def to_fit_overlap(mask: NDArray[np.bool_], ellipse: Ellipse) -> float:
    """Return the intersection over union of mask and ellipse inside the frame.

    Only the bounding box of the ellipse is rasterised, because there is no overlap elsewhere.
    """
    box, filled = to_filled_ellipse(ellipse, *mask.shape)
    overlap = np.count_nonzero(mask[box] & filled)
    union = np.count_nonzero(mask) + np.count_nonzero(filled) - overlap
    return overlap / union if union else 0.0
