import cv2
import numpy as np
import pytest

from headcirc.geometry import Ellipse, to_affine_image, to_ellipse_perimeter
from headcirc.network_input import to_grid_mapping
from headcirc.raster import to_ellipse_coverage
from training.data.canvas import GRID
from training.data.hc18 import HC18Image
from training.data.planes import Plane
from training.evaluate_fold import Row, judge, summarise

ROWS, COLUMNS = 540, 800
HEAD = Ellipse(400.0, 270.0, 200.0, 160.0, 0.0)


@pytest.fixture
def image(tmp_path):
    outline = np.zeros((ROWS, COLUMNS), np.uint8)
    cv2.ellipse(outline, (400, 270), (200, 160), 0, 0, 360, 255, 1)
    cv2.imwrite(str(tmp_path / "000_HC.png"), outline)
    cv2.imwrite(str(tmp_path / "000_HC_Annotation.png"), outline)
    true_mm = 0.2 * to_ellipse_perimeter(200, 160)
    return HC18Image(
        "000_HC.png", 0, 0.2, true_mm, tmp_path / "000_HC.png", tmp_path / "000_HC_Annotation.png"
    )


def answer_with(ellipse):
    """Return a network's answer that outlines an ellipse of the frame."""
    mapping = to_grid_mapping(ROWS, COLUMNS, GRID)
    on_grid = to_affine_image(ellipse, mapping.to_network_affine())
    return lambda _: (to_ellipse_coverage(on_grid, GRID.height_px, GRID.width_px), 0.9)


def test_perfect_prediction_has_almost_no_error(image):
    """A probability map of the true ellipse measures to within 0.5 mm."""
    row = judge(answer_with(HEAD), image)
    assert row.is_found
    assert abs(row.error_mm) < 0.5
    assert row.dice > 0.99
    assert row.plane_probability == 0.9


def test_error_is_measured_minus_true(image):
    """An ellipse that is 5 % larger measures 5 % more."""
    larger = Ellipse(400.0, 270.0, 210.0, 168.0, 0.0)
    row = judge(answer_with(larger), image)
    assert row.error_mm == pytest.approx(0.05 * image.head_circumference_mm, rel=0.1)


def test_empty_prediction_counts_as_not_found(image):
    """Without a pixel above the threshold there is no ellipse and no Dice."""
    plane = Plane("abdomen/a.jpg", "abdomen", "S", "S a", None, None, image.path)
    row = judge(lambda _: (np.zeros((256, 256), np.float32), None), plane)
    assert (row.is_found, row.dice, row.error_mm, row.plane_probability) == (False,) + (None,) * 3


def test_summary_counts_found_planes_and_gross_errors():
    """The summary has millimetres for heads and the share found for planes."""
    rows = [
        Row("a", "hc18", True, 0.99, 0.9, 100.0, 2.0, 0.98),
        Row("b", "hc18", True, 0.99, 0.9, 100.0, -12.0, 0.90),
        Row("c", "abdomen", True, 0.9, 0.2),
        Row("d", "abdomen", False, None, 0.1),
    ]
    lines = summarise(rows)
    assert "absolute error 7.00 mm, bias -5.00 mm" in lines[0]
    assert "over 5 %: 1, over 10 %: 1" in lines[0]
    assert "abdomen: found 1 of 2, called head planes 0" in lines
