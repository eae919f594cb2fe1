import numpy as np
import pytest

from evaluation.ellipse_fits import FITS
from headcirc.geometry import Ellipse, HeadMask, to_ellipse_perimeter
from headcirc.raster import to_ellipse_coverage

HEAD = Ellipse(160.3, 120.8, 90.0, 66.0, 0.7)


def to_perimeter_px(ellipse):
    return to_ellipse_perimeter(ellipse.semi_axis_major_px, ellipse.semi_axis_minor_px)


def fit(name, probabilities):
    mask = HeadMask(probabilities > 0.5, 0.0, 1.0)
    return FITS[name](probabilities.astype(np.float32), mask, 0.5)


@pytest.mark.parametrize("name", FITS)
def test_every_fit_measures_a_drawn_head(name):
    """A fit that is wrong on an exact head would make the shipped fit look too good."""
    fitted = fit(name, to_ellipse_coverage(HEAD, 240, 320))
    assert to_perimeter_px(fitted) == pytest.approx(to_perimeter_px(HEAD), rel=0.003)
    assert (fitted.center_x_px, fitted.center_y_px) == pytest.approx((160.3, 120.8), abs=0.2)
    assert fitted.angle_rad == pytest.approx(0.7, abs=0.02)


def test_limb_moves_the_soft_edge_less_than_half_as_far_as_least_squares():
    """A limb at the end of the head moves a least-squares fit far."""
    probabilities = to_ellipse_coverage(Ellipse(160.0, 120.0, 90.0, 66.0, 0.0), 240, 320)
    limb = to_ellipse_coverage(Ellipse(270.0, 120.0, 45.0, 12.0, 0.0), 240, 320)
    hanging = np.maximum(probabilities, 0.9 * limb)
    truth_px = to_ellipse_perimeter(90.0, 66.0)
    errors_px = {name: abs(to_perimeter_px(fit(name, hanging)) - truth_px) for name in FITS}
    assert errors_px["soft edge"] < errors_px["least squares"] / 2
