import math

import numpy as np
import pytest

from headcirc.ellipse import fit_head_ellipse
from headcirc.geometry import Ellipse, HeadMask, PixelSpacing, to_ellipse_perimeter
from headcirc.measurement import measure_head
from headcirc.raster import to_ellipse_coverage

ELLIPSES = [
    pytest.param(Ellipse(400.0, 270.0, 100.0, 100.0, 0.0), 540, 800, id="circle"),
    pytest.param(Ellipse(400.2, 270.7, 220.3, 170.9, 0.5), 540, 800, id="rotated"),
    pytest.param(Ellipse(401.9, 268.1, 252.4, 181.5, 2.8), 541, 797, id="odd-frame"),
    pytest.param(Ellipse(60.5, 50.0, 41.0, 33.0, 1.1), 101, 123, id="small"),
    pytest.param(Ellipse(300.0, 200.0, 280.0, 230.0, 0.1), 400, 600, id="touches-border"),
    pytest.param(Ellipse(150.0, 200.0, 280.0, 230.0, 0.1), 400, 600, id="a-third-cut-off"),
]


def fit(probabilities, threshold=0.5):
    """Fit to probabilities, beginning with what is above the threshold."""
    mask = HeadMask(probabilities > threshold, 0.0, 1.0)
    return fit_head_ellipse(probabilities.astype(np.float32), mask, threshold)


def to_perimeter_px(ellipse):
    return to_ellipse_perimeter(ellipse.semi_axis_major_px, ellipse.semi_axis_minor_px)


@pytest.mark.parametrize(("ellipse", "rows", "columns"), ELLIPSES)
@pytest.mark.parametrize("spacing", [PixelSpacing(0.13, 0.13), PixelSpacing(0.2, 0.1)])
@pytest.mark.parametrize("is_hard", [True, False])
def test_exact_mask_measures_within_0_2_percent(ellipse, rows, columns, spacing, is_hard):
    """Drawn heads measure their analytic circumference: rotated, unequal pixels, cut off."""
    coverage = to_ellipse_coverage(ellipse, rows, columns)
    fitted = fit((coverage > 0.5).astype(np.float32) if is_hard else coverage)
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
        fitted = fit((to_ellipse_coverage(ellipse, 200, 200) > 0.5).astype(np.float32))
        errors_px.append(to_perimeter_px(fitted) - to_ellipse_perimeter(major, minor))
    assert abs(np.mean(errors_px)) < 0.05 * math.pi


def test_position_and_angle_are_recovered():
    """Centre and axes within a tenth of a pixel, the angle within half a degree."""
    fitted = fit(to_ellipse_coverage(Ellipse(150.3, 120.8, 90.0, 60.0, 2.5), 240, 300))
    assert (fitted.center_x_px, fitted.center_y_px) == pytest.approx((150.3, 120.8), abs=0.1)
    assert fitted.semi_axis_major_px == pytest.approx(90.0, abs=0.1)
    assert fitted.angle_rad == pytest.approx(2.5, abs=math.radians(0.5))


@pytest.mark.parametrize(("surplus", "most_percent"), [(0.6, 1.0), (0.99, 5.0)])
def test_body_beside_the_head_moves_the_fit_in_proportion_to_its_probability(surplus, most_percent):
    """A limb of a third of the head's length changes the circumference little."""
    head = Ellipse(150.0, 150.0, 90.0, 70.0, 0.0)
    probabilities = 0.98 * to_ellipse_coverage(head, 300, 400) + 0.01
    limb = to_ellipse_coverage(Ellipse(250.0, 150.0, 40.0, 12.0, 0.0), 300, 400) > 0.5
    probabilities[limb] = np.maximum(probabilities[limb], surplus)
    fitted = fit(probabilities)
    assert to_perimeter_px(fitted) == pytest.approx(to_perimeter_px(head), rel=most_percent / 100)


def test_ellipse_follows_the_threshold():
    """On a ramp of probability over 20 pixels the radius is that of the threshold, by hand."""
    rows, columns = np.mgrid[:301, :301]
    radius = np.hypot(rows - 150, columns - 150)
    probabilities = np.clip(0.5 + (100 - radius) / 20, 0.001, 0.999)
    assert fit(probabilities).semi_axis_major_px == pytest.approx(100.0, abs=0.1)
    assert fit(probabilities, 0.7).semi_axis_major_px == pytest.approx(96.0, abs=0.1)


@pytest.mark.parametrize("pixels", [[], [(5, 5)], [(5, x) for x in range(2, 40)]])
def test_too_small_mask_gives_no_ellipse(pixels):
    """No pixel, one pixel or a line gives None."""
    probabilities = np.zeros((50, 50), np.float32)
    for row, column in pixels:
        probabilities[row, column] = 1.0
    assert fit(probabilities) is None
