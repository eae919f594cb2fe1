import numpy as np
import pytest

from headcirc.geometry import Ellipse, HeadMask
from headcirc.model.manifest import HeadPlaneFacts
from headcirc.model.uncertainty_model import UncertaintyLimits
from headcirc.quality.assessment import assess_quality, find_image_warnings, to_fit_overlap
from headcirc.quality.uncertainty import Uncertainty
from headcirc.raster import to_ellipse_coverage
from tests.support.synthetic import to_manifest

FACTS = to_manifest().mask
HEAD = Ellipse(150.0, 100.0, 80.0, 60.0, 0.2)
MASK = to_ellipse_coverage(HEAD, 200, 300) > 0.5


def test_a_clear_head_has_no_warnings():
    """A head inside the frame, of plausible size, with a good fit, is acceptable."""
    quality = assess_quality(HeadMask(MASK, 0.0, 0.98), HEAD, FACTS, head_circumference_mm=180.0)
    assert quality.warnings == ()
    assert quality.acceptable


@pytest.mark.parametrize(
    ("head_mask", "ellipse", "size_mm", "code", "acceptable"),
    [
        (None, None, None, "no-head-found", False),
        (HeadMask(MASK, 0.0, 0.98), HEAD, None, "pixel-size-missing", True),
        (
            HeadMask(MASK, 0.0, 0.98),
            Ellipse(60, 100, 80, 60, 0),
            180.0,
            "head-touches-border",
            False,
        ),
        (HeadMask(MASK, 0.4, 0.98), HEAD, 180.0, "fragmented-mask", False),
        (HeadMask(MASK, 0.0, 0.9), HEAD, 180.0, "uncertain-mask", False),
        (HeadMask(MASK, 0.0, 0.98), HEAD, 20.0, "implausible-size", False),
        (HeadMask(MASK, 0.0, 0.98), HEAD, 500.0, "implausible-size", False),
        (HeadMask(MASK, 0.0, 0.98), Ellipse(150, 100, 60, 50, 0), 180.0, "poor-ellipse-fit", False),
    ],
)
def test_each_failed_check_has_its_code(head_mask, ellipse, size_mm, code, acceptable):
    """Disqualifying codes make the result not acceptable."""
    quality = assess_quality(head_mask, ellipse, FACTS, head_circumference_mm=size_mm)
    assert code in quality.warnings
    assert quality.acceptable is acceptable


@pytest.mark.parametrize(
    ("score", "features", "code", "acceptable"),
    [
        (2.5, {}, "large-expected-error", False),
        (0.0, {"lack of contrast": -0.1}, "low-contrast", True),
        (0.0, {"dark share": 0.4}, "shadowed-boundary", True),
        (0.0, {}, None, True),
    ],
)
def test_uncertainty_beyond_a_limit_has_its_code(score, features, code, acceptable):
    """The score disqualifies; contrast and shadow tell why."""
    limits = UncertaintyLimits(2.0, -0.2, 0.3)
    uncertainty = Uncertainty({"lack of contrast": -0.5, "dark share": 0.0} | features, 1.0, score)
    quality = assess_quality(
        HeadMask(MASK, 0.0, 0.98),
        HEAD,
        FACTS,
        head_circumference_mm=180.0,
        uncertainty=uncertainty,
        limits=limits,
    )
    assert quality.warnings == (() if code is None else (code,))
    assert quality.acceptable is acceptable


def test_narrow_range_is_a_warning_that_does_not_disqualify():
    """It is given with and without a head."""
    head, narrow = HeadMask(MASK, 0.0, 0.98), find_image_warnings(has_narrow_range=True)
    found = assess_quality(head, HEAD, FACTS, head_circumference_mm=180.0, image_warnings=narrow)
    assert found.warnings == ("narrow-sample-range",)
    assert found.acceptable
    missed = assess_quality(None, None, FACTS, image_warnings=narrow)
    assert missed.warnings == ("no-head-found", "narrow-sample-range")


@pytest.mark.parametrize(
    ("probability", "limit", "is_warned"),
    [(0.49, 0.5, True), (0.5, 0.5, False), (None, 0.5, False), (0.1, None, False)],
)
def test_picture_below_the_limit_is_not_a_head_plane(probability, limit, is_warned):
    """With and without a head; a model without this output or limit never warns."""
    codes = find_image_warnings(
        head_plane_probability=probability,
        head_plane=None if limit is None else HeadPlaneFacts(limit),
    )
    assert codes == (("not-a-head-plane",) if is_warned else ())
    head = HeadMask(MASK, 0.0, 0.98)
    quality = assess_quality(head, HEAD, FACTS, head_circumference_mm=180.0, image_warnings=codes)
    assert quality.acceptable is not is_warned
    missed = assess_quality(None, None, FACTS, image_warnings=codes)
    assert missed.warnings == ("no-head-found", *codes)


def test_overlap_of_a_mask_and_its_own_ellipse_is_one():
    """Intersection over union is 1 for the same shape and 0 for an empty mask."""
    assert to_fit_overlap(MASK, HEAD) == pytest.approx(1, abs=2e-4)  # a pixel's centre on the edge
    assert to_fit_overlap(np.zeros_like(MASK), HEAD) == 0
