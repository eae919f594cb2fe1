import math

import numpy as np
import pytest

from headcirc.geometry import (
    Ellipse,
    to_affine_image,
    to_ellipse_coverage,
    to_ellipse_perimeter,
    to_filled_ellipse,
)


@pytest.mark.parametrize(
    ("bpd_mm", "ofd_mm", "expected_mm"),
    [(50, 50, 157.0796), (47, 60, 168.6960), (79, 98, 278.8325), (60, 100, 255.2700)],
)
def test_perimeter_matches_published_check_values(bpd_mm, ofd_mm, expected_mm):
    """Ramanujan II gives the check values of the clinical reference."""
    assert to_ellipse_perimeter(ofd_mm / 2, bpd_mm / 2) == pytest.approx(expected_mm, abs=1e-4)


def test_affine_image_of_a_rotated_ellipse_contains_the_mapped_outline():
    """Mapped outline points lie on the mapped ellipse, with unequal scales and a shift."""
    ellipse = Ellipse(100.0, 80.0, 60.0, 35.0, 0.7)
    affine = np.array([[0.2, 0.0, 3.0], [0.0, 0.1, -2.0]])
    image = to_affine_image(ellipse, affine)
    turns = np.linspace(0, 2 * np.pi, 50)
    circle = np.stack((np.cos(turns), np.sin(turns)))
    outline = ellipse.to_shape_matrix() @ circle + [[100.0], [80.0]]
    mapped = affine[:, :2] @ outline + affine[:, 2:]
    centered = mapped - [[image.center_x_px], [image.center_y_px]]
    radii = np.linalg.norm(np.linalg.inv(image.to_shape_matrix()) @ centered, axis=0)
    assert radii == pytest.approx(np.ones(50), abs=1e-9)


def test_angle_survives_the_round_trip_through_a_matrix():
    """The identity map returns the same axes and the same angle in [0, pi)."""
    ellipse = Ellipse(1.0, 2.0, 5.0, 3.0, 2.9)
    same = to_affine_image(ellipse, np.eye(2, 3))
    assert same.angle_rad == pytest.approx(2.9)
    assert (same.semi_axis_major_px, same.semi_axis_minor_px) == pytest.approx((5.0, 3.0))


def test_coverage_has_the_ellipse_s_area():
    """The drawn coverage sums to pi a b, to within a few parts in 10,000."""
    coverage = to_ellipse_coverage(Ellipse(100.3, 80.7, 60.2, 40.1, 0.4), 170, 210)
    assert coverage.sum() == pytest.approx(math.pi * 60.2 * 40.1, rel=5e-4)


@pytest.mark.parametrize("seed", range(50))
def test_filled_ellipse_holds_the_pixels_that_are_half_covered(seed):
    """The pixels inside, drawn in their box alone, are those that the coverage gives a half of."""
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
