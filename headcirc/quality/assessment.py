"""Give stable warning codes, and say whether a person should rely on the number.

The limits below catch gross failures. At least 99 of 100 images of HC18's training exams pass them
(`python -m evaluation.choices`). They judge a head, its mask and its probabilities, whatever the
model is, so they stand here. Finer limits, on the features of uncertainty, belong to the model
(`python -m evaluation.uncertainty fit`). A model without them has only the gross ones.

No limit catches every error. This stage changes no number. A service that promises a number still
gives it, with `acceptable` false beside it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headcirc.geometry import Ellipse, HeadMask, to_half_extents
from headcirc.model.uncertainty_model import UncertaintyLimits, UncertaintyModel
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
UNLIKE_TRAINING_DATA = "unlike-training-data"
LOW_CONTRAST = "low-contrast"
SHADOWED_BOUNDARY = "shadowed-boundary"

DISQUALIFYING = frozenset(
    {
        NO_HEAD_FOUND,
        POOR_ELLIPSE_FIT,
        FRAGMENTED_MASK,
        IMPLAUSIBLE_SIZE,
        UNCERTAIN_MASK,
        LARGE_EXPECTED_ERROR,
        UNLIKE_TRAINING_DATA,
    }
)
"""Low contrast and shadow are not in it: they give a reason, and the two scores judge the harm."""

MINIMUM_FIT_OVERLAP = 0.93
"""Overlap (intersection over union) of mask and ellipse below which neither is trusted."""
MAXIMUM_REJECTED_SHARE = 0.25
"""Another component of more than this share of the head's area makes the choice doubtful."""
MINIMUM_SURE_PROBABILITY = 0.94
"""Mean probability inside the mask below which the network is in uncertainty of the head."""
PLAUSIBLE_HEAD_CIRCUMFERENCE_MM = (40.0, 400.0)
"""HC18 runs from 44 to 346 mm; the growth charts end near 373 mm (+3 SD at 40 weeks)."""
LEAST_CEPHALIC_INDEX = 0.5
"""HC18's heads, but the test exams', have 0.66 to 0.96; pixel sizes that are exchanged, or of
another picture, make less of them."""


@dataclass(frozen=True)
class Quality:
    """Attributes: `warnings` are stable codes; `acceptable` says whether to rely on the number."""

    warnings: tuple[str, ...]

    @property
    def acceptable(self) -> bool:
        """Return False when a person should not rely on the number."""
        return not DISQUALIFYING.intersection(self.warnings)


def assess_quality(
    head_mask: HeadMask | None,
    ellipse: Ellipse | None,
    *,
    head_circumference_mm: float | None = None,
    cephalic_index: float | None = None,
    uncertainty: Uncertainty | None = None,
    facts: UncertaintyModel | None = None,
) -> Quality:
    """Collect the warnings that hold.

    Parameters
    ----------
    head_mask : HeadMask or None
    ellipse : Ellipse or None
        In frame pixels.
    head_circumference_mm, cephalic_index : float or None
        None where the pixel size is unknown.
    uncertainty, facts : Uncertainty or None, UncertaintyModel or None
        Without both, only the gross failures are looked for.
    """
    if head_mask is None or ellipse is None:
        return Quality((NO_HEAD_FOUND,))
    rows, columns = head_mask.pixels.shape
    low_mm, high_mm = PLAUSIBLE_HEAD_CIRCUMFERENCE_MM
    known = head_circumference_mm is not None
    checks = {
        PIXEL_SIZE_MISSING: not known,
        HEAD_TOUCHES_BORDER: touches_border(ellipse, rows, columns),
        POOR_ELLIPSE_FIT: to_fit_overlap(head_mask.pixels, ellipse) < MINIMUM_FIT_OVERLAP,
        FRAGMENTED_MASK: head_mask.largest_rejected_share > MAXIMUM_REJECTED_SHARE,
        UNCERTAIN_MASK: head_mask.mean_probability < MINIMUM_SURE_PROBABILITY,
        IMPLAUSIBLE_SIZE: (
            head_circumference_mm is not None and not low_mm <= head_circumference_mm <= high_mm
        )
        or (cephalic_index is not None and cephalic_index < LEAST_CEPHALIC_INDEX),
    }
    if uncertainty is not None and facts is not None:
        checks |= _judge_uncertainty(uncertainty, facts.limits)
    return Quality(tuple(code for code, holds in checks.items() if holds))


def _judge_uncertainty(uncertainty: Uncertainty, limits: UncertaintyLimits) -> dict[str, bool]:
    expected_mm, out_of_distribution, features = (
        uncertainty.expected_error_mm,
        uncertainty.out_of_distribution,
        uncertainty.features,
    )
    return {
        LARGE_EXPECTED_ERROR: expected_mm is not None and expected_mm > limits.expected_error_mm,
        UNLIKE_TRAINING_DATA: out_of_distribution is not None
        and out_of_distribution > limits.out_of_distribution,
        LOW_CONTRAST: features["lack of contrast"] > limits.lack_of_contrast,
        SHADOWED_BOUNDARY: features["dark share"] > limits.dark_share,
    }


def touches_border(ellipse: Ellipse, rows: int, columns: int) -> bool:
    """Return whether the ellipse reaches the frame's border, so that part of it was not seen."""
    half_x, half_y = to_half_extents(ellipse)
    return bool(
        ellipse.center_x_px - half_x < 0
        or ellipse.center_y_px - half_y < 0
        or ellipse.center_x_px + half_x > columns - 1
        or ellipse.center_y_px + half_y > rows - 1
    )


def to_fit_overlap(mask: NDArray[np.bool_], ellipse: Ellipse) -> float:
    """Return intersection over union of mask and ellipse, inside the frame.

    Only the ellipse's bounding box is drawn: everywhere else there is no overlap.
    """
    box, filled = to_filled_ellipse(ellipse, *mask.shape)
    overlap = np.count_nonzero(mask[box] & filled)
    union = np.count_nonzero(mask) + np.count_nonzero(filled) - overlap
    return overlap / union if union else 0.0
