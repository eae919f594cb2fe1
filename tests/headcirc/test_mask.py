import numpy as np

from headcirc.geometry import Ellipse
from headcirc.mask import to_head_mask
from headcirc.raster import to_ellipse_coverage
from tests.support.synthetic import MASK_FACTS as FACTS

SMALL_HEAD = Ellipse(120.0, 150.0, 60.0, 48.0, 0.3)


def test_nothing_above_threshold_is_no_head():
    """A map below the threshold everywhere gives None."""
    assert to_head_mask(np.full((100, 100), 0.5, np.float32), FACTS) is None


def test_small_components_are_not_a_head():
    """A component below the minimum share of the frame gives None."""
    probabilities = np.zeros((200, 300), np.float32)
    probabilities[50:55, 50:55] = 1
    assert to_head_mask(probabilities, FACTS) is None


def test_the_rounder_component_wins_over_a_larger_ragged_one():
    """A cross of twice the area beside an ellipse is the body, not the head."""
    probabilities = to_ellipse_coverage(SMALL_HEAD, 300, 500)
    probabilities[130:170, 220:480] = 1
    probabilities[20:280, 330:370] = 1
    head = to_head_mask(probabilities, FACTS)
    expected = to_ellipse_coverage(SMALL_HEAD, 300, 500) > 0.5
    assert np.count_nonzero(head.pixels != expected) <= 3  # of 9,046: filling closes notches
    assert head.largest_rejected_share > 1.5


def test_the_more_probable_of_equal_components_is_the_head():
    """The one of two equal ellipses with the higher probability is the head."""
    probabilities = to_ellipse_coverage(SMALL_HEAD, 300, 500)
    uncertain = Ellipse(360.0, 150.0, 60.0, 48.0, 0.3)
    probabilities += 0.7 * to_ellipse_coverage(uncertain, 300, 500)
    head = to_head_mask(probabilities, FACTS)
    assert head.pixels[150, 120]
    assert not head.pixels[150, 360]


def test_holes_are_filled():
    """A hole inside the head belongs to the head."""
    probabilities = to_ellipse_coverage(SMALL_HEAD, 300, 500)
    probabilities[140:160, 110:130] = 0
    head = to_head_mask(probabilities, FACTS)
    assert head.pixels[150, 120]
    assert head.largest_rejected_share == 0


def test_component_with_a_low_mean_probability_is_not_a_head():
    """It exceeds the threshold everywhere, but only by a little."""
    assert to_head_mask(0.55 * to_ellipse_coverage(SMALL_HEAD, 300, 500), FACTS) is None
