import numpy as np
import pytest

from headcirc.geometry import Ellipse, HeadMask, to_ellipse_coverage
from headcirc.quality import assess_quality, to_fit_overlap

HEAD = Ellipse(150.0, 100.0, 80.0, 60.0, 0.2)
MASK = to_ellipse_coverage(HEAD, 200, 300) > 0.5


def test_a_clear_head_has_no_warnings():
    """A head inside the frame, of plausible size, with an ellipse that fits, is acceptable."""
    quality = assess_quality(HeadMask(MASK, 0.0, 0.98), HEAD, 180.0)
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
def test_each_doubt_has_its_code(head_mask, ellipse, size_mm, code, acceptable):
    """Each doubt is told by its own code, and the disqualifying ones are not acceptable."""
    quality = assess_quality(head_mask, ellipse, size_mm)
    assert code in quality.warnings
    assert quality.acceptable is acceptable


def test_overlap_of_a_mask_and_its_own_ellipse_is_one():
    """Intersection over union is 1 for the same shape and 0 for an empty mask."""
    assert to_fit_overlap(MASK, HEAD) == pytest.approx(1, abs=2e-4)  # a pixel's centre on the edge
    assert to_fit_overlap(np.zeros_like(MASK), HEAD) == 0
