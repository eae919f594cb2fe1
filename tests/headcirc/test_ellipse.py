import math

import numpy as np
import pytest

from headcirc.ellipse import fit_head_ellipse
from headcirc.geometry import Ellipse, PixelSpacing, to_ellipse_coverage, to_ellipse_perimeter
from headcirc.measurement import measure_head

ELLIPSES = [
    pytest.param(Ellipse(400.0, 270.0, 100.0, 100.0, 0.0), 540, 800, id="circle"),
    pytest.param(Ellipse(400.2, 270.7, 220.3, 170.9, 0.5), 540, 800, id="rotated"),
    pytest.param(Ellipse(401.9, 268.1, 252.4, 181.5, 2.8), 541, 797, id="odd-frame"),
    pytest.param(Ellipse(60.5, 50.0, 41.0, 33.0, 1.1), 101, 123, id="small"),
    pytest.param(Ellipse(300.0, 200.0, 280.0, 230.0, 0.1), 400, 600, id="touches-border"),
]


@pytest.mark.parametrize(("ellipse", "rows", "columns"), ELLIPSES)
@pytest.mark.parametrize("spacing", [PixelSpacing(0.13, 0.13), PixelSpacing(0.2, 0.1)])
def test_exact_mask_measures_within_0_2_percent(ellipse, rows, columns, spacing):
    """Drawn heads measure their analytic circumference, rotated, on unequal pixels, cut off too."""
    mask = to_ellipse_coverage(ellipse, rows, columns) > 0.5
    fitted = fit_head_ellipse(mask)
    expected_mm = measure_head(ellipse, spacing).head_circumference_mm
    measured_mm = measure_head(fitted, spacing).head_circumference_mm
    assert measured_mm == pytest.approx(expected_mm, rel=0.002)


def test_fit_has_no_half_pixel_bias():
    """Over many positions the mean error is a small part of pi pixels, a half-pixel's effect."""
    generator = np.random.default_rng(0)
    errors_px = []
    for _ in range(40):
        x, y = 100 + generator.random(2)
        major, minor = generator.uniform(50, 70), generator.uniform(35, 50)
        ellipse = Ellipse(x, y, major, minor, generator.uniform(0, np.pi))
        fitted = fit_head_ellipse(to_ellipse_coverage(ellipse, 200, 200) > 0.5)
        errors_px.append(
            to_ellipse_perimeter(fitted.semi_axis_major_px, fitted.semi_axis_minor_px)
            - to_ellipse_perimeter(major, minor)
        )
    assert abs(np.mean(errors_px)) < 0.05 * math.pi


def test_position_and_angle_are_recovered():
    """Centre and axes within a tenth of a pixel, the angle within half a degree."""
    ellipse = Ellipse(150.3, 120.8, 90.0, 60.0, 2.5)
    fitted = fit_head_ellipse(to_ellipse_coverage(ellipse, 240, 300) > 0.5)
    assert (fitted.center_x_px, fitted.center_y_px) == pytest.approx((150.3, 120.8), abs=0.1)
    assert fitted.semi_axis_major_px == pytest.approx(90.0, abs=0.1)
    assert fitted.angle_rad == pytest.approx(2.5, abs=math.radians(0.5))


@pytest.mark.parametrize("pixels", [[], [(5, 5)], [(5, x) for x in range(2, 40)]])
def test_too_little_edge_is_no_ellipse(pixels):
    """Nothing, one pixel or a line gives None, not a number."""
    mask = np.zeros((50, 50), bool)
    for row, column in pixels:
        mask[row, column] = True
    assert fit_head_ellipse(mask) is None
