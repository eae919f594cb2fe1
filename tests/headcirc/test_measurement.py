import math

import numpy as np
import pytest

from headcirc.geometry import FROM_DICOM, CalibratedRegion, Ellipse, Frame, PixelSpacing
from headcirc.measurement import ChosenCalibration, choose_calibration, measure_head


def test_circle_of_known_radius_measures_two_pi_r():
    """100 pixels of 0.2 mm are a circumference of 2 pi 20 mm."""
    measured = measure_head(Ellipse(0, 0, 100, 100, 0), PixelSpacing(0.2, 0.2))
    assert measured.head_circumference_mm == pytest.approx(2 * math.pi * 20)
    assert measured.cephalic_index == pytest.approx(1.0)
    assert measured.area_mm2 == pytest.approx(math.pi * 400)


def test_unequal_pixels_turn_a_circle_into_an_ellipse():
    """A circle of pixels 0.2 mm high and 0.1 mm wide is twice as high as wide."""
    measured = measure_head(Ellipse(0, 0, 100, 100, 0.3), PixelSpacing(row_mm=0.2, column_mm=0.1))
    assert measured.occipitofrontal_diameter_mm == pytest.approx(40)
    assert measured.biparietal_diameter_mm == pytest.approx(20)


def test_rotated_ellipse_is_mapped_as_a_whole():
    """The circumference equals the length of the mapped outline, by numerical integration."""
    ellipse, spacing = Ellipse(0, 0, 120, 80, math.pi / 4), PixelSpacing(0.2, 0.1)
    turns = np.linspace(0, 2 * np.pi, 200_001)
    outline = ellipse.to_shape_matrix() @ np.stack((np.cos(turns), np.sin(turns)))
    outline_mm = np.diag([0.1, 0.2]) @ outline
    length_mm = np.linalg.norm(np.diff(outline_mm), axis=0).sum()
    assert measure_head(ellipse, spacing).head_circumference_mm == pytest.approx(
        length_mm, rel=1e-5
    )


def to_frame(*calibrations):
    return Frame(np.zeros((200, 200), np.uint8), calibrations)


def test_region_is_the_one_that_contains_the_head():
    """Outside all regions, or across two of them, no millimetres are known."""
    left = CalibratedRegion(0, 0, 99, 99, PixelSpacing(0.1, 0.1), FROM_DICOM)
    right = CalibratedRegion(100, 0, 199, 99, PixelSpacing(0.3, 0.3), FROM_DICOM)
    frame = to_frame(left, right)
    assert choose_calibration(frame, Ellipse(150, 50, 20, 10, 0)).region is right
    for outside in (Ellipse(150, 150, 20, 10, 0), Ellipse(100, 50, 20, 10, 0)):
        chosen = choose_calibration(frame, outside)
        assert chosen.region is None
        assert chosen.is_dicom_unusable


def test_head_that_the_frame_cuts_is_still_in_its_region():
    """Only the visible part of the outline counts."""
    whole = CalibratedRegion(0, 0, 199, 199, PixelSpacing(0.1, 0.1), FROM_DICOM)
    assert choose_calibration(to_frame(whole), Ellipse(190, 100, 60, 50, 0)).region is whole


def test_frame_without_calibration_has_no_region_and_no_fault():
    chosen = choose_calibration(to_frame(), Ellipse(100, 100, 60, 50, 0))
    assert chosen == ChosenCalibration(None)
