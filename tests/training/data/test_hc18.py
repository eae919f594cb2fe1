import json

import numpy as np
import pytest

from headcirc.geometry import Ellipse, to_ellipse_perimeter
from headcirc.raster import to_ellipse_coverage
from training.data.hc18 import (
    PARTS,
    SPLIT_PATH,
    load_images,
    load_part,
    load_pixels,
    make_split,
    to_true_ellipse,
)

TABLE_TOLERANCE_MM = 0.07
"""How far the fitted outline and HC18's table may differ; see `training.data.hc18`."""


@pytest.fixture(scope="module")
def split():
    return json.loads(SPLIT_PATH.read_text())


def draw_outline(ellipse, rows, columns, *, half_width_px=1.5):
    """Draw an outline whose centre line is the ellipse."""
    outer, inner = (
        Ellipse(
            ellipse.center_x_px,
            ellipse.center_y_px,
            ellipse.semi_axis_major_px + grow_px,
            ellipse.semi_axis_minor_px + grow_px,
            ellipse.angle_rad,
        )
        for grow_px in (half_width_px, -half_width_px)
    )
    is_inside = to_ellipse_coverage(outer, rows, columns) > 0.5
    return np.uint8(255) * (is_inside & (to_ellipse_coverage(inner, rows, columns) <= 0.5))


def to_perimeter_px(ellipse):
    return to_ellipse_perimeter(ellipse.semi_axis_major_px, ellipse.semi_axis_minor_px)


def test_no_exam_is_in_two_parts(split):
    """The three parts share no exam and have 645 exams in total."""
    exams = [exam for part in PARTS for exam in split[part]]
    assert list(split) == list(PARTS)
    assert len(exams) == len(set(exams)) == 645


@pytest.mark.parametrize(
    ("part", "share"), [("train", 0.75), ("calibration", 0.125), ("test", 0.125)]
)
def test_each_part_has_its_share_of_the_exams(split, part, share):
    """The parts have 75, 12.5 and 12.5 % of the exams, to within one exam."""
    assert abs(len(split[part]) - share * 645) <= 1


def test_committed_split_can_be_reproduced(split, hc18_dir):
    """Splitting HC18's exams again gives the committed split, for any order of the images."""
    known = {exam for exams in split.values() for exam in exams}
    images = [image for image in load_images(hc18_dir) if image.exam in known]
    assert make_split(images) == split
    assert make_split(images[::-1]) == split


def test_parts_exclude_exams_that_are_not_in_the_split(hc18_dir):
    """The three parts together contain each of the 801 images once."""
    names = [image.name for part in PARTS for image in load_part(hc18_dir, part)]
    assert len(names) == len(set(names)) == 801


def test_folder_without_hc18_is_refused_with_what_is_expected(tmp_path):
    """The error message names the expected table."""
    with pytest.raises(FileNotFoundError, match="training_set_pixel_size_and_HC"):
        load_images(tmp_path)


@pytest.mark.parametrize(
    "ellipse",
    [
        Ellipse(150.0, 100.0, 70.0, 70.0, 0.0),
        Ellipse(150.3, 99.6, 90.0, 66.0, 0.4),
        Ellipse(148.5, 101.2, 85.5, 61.25, 2.3),
    ],
)
def test_outline_of_a_known_ellipse_has_its_perimeter(ellipse):
    """The fitted centre line of a drawn outline has the perimeter to 0.1 %."""
    fitted = to_true_ellipse(draw_outline(ellipse, 201, 303))
    assert to_perimeter_px(fitted) == pytest.approx(to_perimeter_px(ellipse), rel=1e-3)
    assert fitted.center_x_px == pytest.approx(ellipse.center_x_px, abs=0.1)
    assert fitted.center_y_px == pytest.approx(ellipse.center_y_px, abs=0.1)


def test_outline_cut_off_by_the_border_has_the_whole_perimeter():
    """An outline that leaves the image at the bottom still gives the complete ellipse, to 0.1 %."""
    ellipse = Ellipse(150.0, 130.0, 95.0, 80.0, 0.2)
    fitted = to_true_ellipse(draw_outline(ellipse, 190, 300))
    assert to_perimeter_px(fitted) == pytest.approx(to_perimeter_px(ellipse), rel=1e-3)


def to_error_mm(image):
    fitted = to_true_ellipse(load_pixels(image.annotation_path))
    return abs(to_perimeter_px(fitted) * image.pixel_size_mm - image.head_circumference_mm)


def test_fitted_outlines_of_some_images_agree_with_the_table(hc18_dir):
    """Every twentieth training image's outline has the table's circumference within 0.07 mm."""
    images = load_part(hc18_dir, "train")[::20]
    assert max(to_error_mm(image) for image in images) < TABLE_TOLERANCE_MM


@pytest.mark.slow
@pytest.mark.parametrize("part", ["train", "calibration"])
def test_every_fitted_outline_agrees_with_the_table(hc18_dir, part):
    """Every training and calibration outline has the table's circumference within 0.07 mm."""
    errors_mm = {image.name: to_error_mm(image) for image in load_part(hc18_dir, part)}
    assert {name: mm for name, mm in errors_mm.items() if mm >= TABLE_TOLERANCE_MM} == {}
