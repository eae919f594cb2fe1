import math

import numpy as np
import pytest

from headcirc.geometry import (
    Ellipse,
    to_affine_image,
    to_axes,
    to_ellipse,
    to_ellipse_perimeter,
    to_half_extents,
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


@pytest.mark.parametrize("seed", range(20))
def test_axes_are_those_of_the_singular_value_decomposition(seed):
    """For any linear map, mirrored ones too; the angle is that of the first singular vector."""
    matrix = np.random.default_rng(seed).normal(size=(2, 2))
    directions, lengths, _ = np.linalg.svd(matrix)
    *axes, angle_rad = to_axes(matrix)
    assert axes == pytest.approx(lengths, rel=1e-9)
    along = directions[:, 0] @ (math.cos(angle_rad), math.sin(angle_rad))
    assert abs(along) == pytest.approx(1, abs=1e-12)
    assert 0 <= angle_rad < math.pi


def test_half_extents_bound_the_outline():
    """The outline of a rotated ellipse reaches them, and not farther."""
    ellipse = Ellipse(0.0, 0.0, 60.0, 35.0, 0.7)
    turns = np.linspace(0, 2 * np.pi, 10_000)
    outline = ellipse.to_shape_matrix() @ np.stack((np.cos(turns), np.sin(turns)))
    assert to_half_extents(ellipse) == pytest.approx(outline.max(axis=1), abs=1e-5)


@pytest.mark.parametrize("angle_deg", [0.0, -1e-16, 180.0])
def test_angles_are_reduced_to_half_a_turn(angle_deg):
    """Half a turn becomes 0, as does an angle that rounds to it."""
    assert to_ellipse((0, 0), (4.0, 2.0), angle_deg).angle_rad == 0
