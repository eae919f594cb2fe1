import math

import numpy as np
import pytest

from headcirc.geometry import Ellipse
from headcirc.raster import to_edge_distance_px, to_ellipse_coverage, to_filled_ellipse


def test_coverage_has_the_ellipse_s_area():
    """The drawn coverage sums to pi a b, to within a few parts in 10,000."""
    coverage = to_ellipse_coverage(Ellipse(100.3, 80.7, 60.2, 40.1, 0.4), 170, 210)
    assert coverage.sum() == pytest.approx(math.pi * 60.2 * 40.1, rel=5e-4)


@pytest.mark.parametrize("seed", range(50))
def test_filled_ellipse_contains_the_half_covered_pixels(seed):
    """The pixels inside have a coverage of at least a half."""
    generator = np.random.default_rng(seed)
    minor, major = sorted(generator.uniform(1, 120, 2))
    center = generator.uniform(-50, 350), generator.uniform(-50, 250)  # partly outside the grid
    ellipse = Ellipse(*center, major, minor, generator.uniform(0, np.pi))
    box, inside = to_filled_ellipse(ellipse, 200, 300)
    full = np.zeros((200, 300), bool)
    full[box] = inside
    assert np.array_equal(full, to_ellipse_coverage(ellipse, 200, 300) > 0.5)


def test_centre_of_an_ellipse_is_covered():
    """The pixel at the very centre, where the edge's distance has no direction, is inside."""
    assert to_ellipse_coverage(Ellipse(10.0, 8.0, 6.0, 4.0, 0.3), 17, 21)[8, 10] == 1


def test_distance_from_a_circle_is_exact():
    """It is the distance from the centre minus the radius, negative inside."""
    distances_px = to_edge_distance_px(Ellipse(10.0, 8.0, 5.0, 5.0, 0.3), 17, 21)
    assert distances_px[8, [15, 18, 12]] == pytest.approx([0.0, 3.0, -3.0])
