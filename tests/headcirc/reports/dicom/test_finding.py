import math

import numpy as np
import pytest

from headcirc.geometry import Ellipse
from headcirc.reports.dicom.finding import is_inside, to_axis_ends, to_outline
from tests.support.dicom_sources import to_finding, to_ultrasound
from tests.support.synthetic import HEAD


def test_point_of_a_pixel_s_centre_is_half_a_pixel_from_its_corner():
    """DICOM counts from the corner of the first pixel: a circle around its centre is at 0.5."""
    circle = Ellipse(0.0, 0.0, 10.0, 10.0, 0.0)
    ends = to_axis_ends(circle)
    assert ends.mean(axis=0) == pytest.approx([0.5, 0.5])


def test_ends_of_the_major_axis_come_first():
    ends = to_axis_ends(Ellipse(100.0, 50.0, 30.0, 20.0, 0.0))
    assert ends.tolist() == [[70.5, 50.5], [130.5, 50.5], [100.5, 30.5], [100.5, 70.5]]


def test_rotated_ends_follow_the_angle():
    ends = to_axis_ends(Ellipse(100.0, 50.0, 30.0, 20.0, math.pi / 2))
    assert ends[1] == pytest.approx([100.5, 80.5])


def test_outline_is_closed_and_as_long_as_the_ellipse():
    """65 points draw the perimeter to 0.2 %."""
    outline = to_outline(HEAD, 540, 800)
    assert outline.shape == (65, 2)
    assert outline[0].tolist() == outline[-1].tolist()
    finding, _ = to_finding()
    drawn_px = np.linalg.norm(np.diff(outline, axis=0), axis=1).sum()
    assert drawn_px == pytest.approx(finding.answer.head.head_circumference_px, rel=0.002)


def test_outline_outside_the_picture_is_moved_to_its_border():
    outline = to_outline(Ellipse(10.0, 20.0, 30.0, 25.0, 0.0), 40, 60)
    assert outline.min() == 0
    assert outline[:, 0].max() <= 60
    assert outline[:, 1].max() <= 40


def test_points_on_the_border_are_inside():
    assert is_inside(np.array([[0, 0], [60, 40]]), 40, 60)
    assert not is_inside(np.array([[0, 40.01]]), 40, 60)


def test_ellipse_is_in_the_stored_picture_where_the_frame_is_a_part_of_it():
    """A frame that begins at column 100 and row 40 has its ellipse there."""
    whole = to_ultrasound(np.zeros((600, 900), np.uint8))
    finding, _ = to_finding(whole, left_px=100, top_px=40)
    ellipse = finding.to_ellipse()
    assert ellipse.center_x_px == pytest.approx(HEAD.center_x_px + 100, abs=0.1)
    assert ellipse.center_y_px == pytest.approx(HEAD.center_y_px + 40, abs=0.1)
