import csv
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from examples import phantom
from examples.phantom_parameters import PARAMETERS_PATH, load_parameters, true_ellipse

EXAMPLES = Path(phantom.__file__).parent
PHANTOM_PNG_INDEX = 7
EDGE_TOLERANCE_MM = 0.06
"""Half-maximum against the ellipse: the wall's inner slope moves it by some 0.02 mm."""


@pytest.fixture(scope="module")
def every():
    return load_parameters()


def plain(parameters, **changes):
    """Return the phantom without speckle, wedge or echoes around the skull."""
    quiet = {"speckle": 0.0, "wedge_strength": 0.0, "tissue_grey": 0.0, "fluid_grey": 0.0}
    return replace(parameters, **quiet, brain_grey=0.0, side_wall_share=0.5, **changes)


def outer_edge_errors_mm(parameters):
    """Return, along 72 normals, how far outside the ellipse the half-maximum lies, in mm."""
    pixels = phantom.draw_phantom(parameters).astype(np.float32)
    head = parameters.head
    turn = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    along, across = np.cos(turn), np.sin(turn)
    cosine, sine = math.cos(head.angle_rad), math.sin(head.angle_rad)
    a, b = head.semi_axis_major_mm, head.semi_axis_minor_mm
    x = head.center_x_mm + cosine * a * along - sine * b * across
    y = head.center_y_mm + sine * a * along + cosine * b * across
    normal = np.stack(
        [cosine * along / a - sine * across / b, sine * along / a + cosine * across / b]
    )
    normal /= np.hypot(*normal)
    steps_mm = np.arange(1.5, -head.thickness_mm, -0.02)
    at_x = (x[:, None] + normal[0][:, None] * steps_mm) / parameters.pixel_size_x_mm
    at_y = (y[:, None] + normal[1][:, None] * steps_mm) / parameters.pixel_size_y_mm
    profile = cv2.remap(pixels, at_x.astype("f4"), at_y.astype("f4"), cv2.INTER_LINEAR)
    inside = (at_x > 0) & (at_x < parameters.columns - 1) & (at_y > 0)
    inside &= at_y < parameters.rows - 1
    first = np.argmax(profile >= profile.max(axis=1, keepdims=True) / 2, axis=1)
    return steps_mm[first][inside.all(axis=1)]


def test_same_parameters_give_the_same_bytes(every):
    """Drawing twice from one parameter set gives identical pixels, and another seed does not."""
    first = phantom.draw_phantom(every[0])
    assert first.dtype == np.uint8
    assert first.tobytes() == phantom.draw_phantom(every[0]).tobytes()
    other = phantom.draw_phantom(replace(every[0], seed=every[0].seed + 1))
    assert first.tobytes() != other.tobytes()


def test_committed_picture_is_what_the_generator_draws(every):
    """`phantom.png` is phantom 7, up to one grey level where a processor rounds differently."""
    committed = cv2.imread(str(EXAMPLES / "phantom.png"), cv2.IMREAD_UNCHANGED)
    drawn = phantom.draw_phantom(every[PHANTOM_PNG_INDEX])
    assert committed.shape == drawn.shape == (540, 800)
    assert np.abs(committed.astype(int) - drawn.astype(int)).max() <= 1


def test_circle_of_known_diameter_has_circumference_pi_d(every):
    """A head as wide as long has a circumference of pi times its diameter."""
    circle = replace(every[0], occipitofrontal_diameter_mm=60.0, biparietal_diameter_mm=60.0)
    assert phantom.true_head_circumference_mm(circle) == pytest.approx(math.pi * 60, abs=1e-9)


def test_ellipse_of_known_axes_has_the_integral_as_circumference(every):
    """The stated circumference of every phantom is the arc length of its ellipse."""
    turn = (np.arange(20_000) + 0.5) * 2 * np.pi / 20_000
    for entry in every:
        a, b = entry.occipitofrontal_diameter_mm / 2, entry.biparietal_diameter_mm / 2
        length_mm = np.mean(np.hypot(a * np.sin(turn), b * np.cos(turn))) * 2 * np.pi
        assert phantom.true_head_circumference_mm(entry) == pytest.approx(length_mm, abs=1e-4)


@pytest.mark.parametrize("index", [4, 7, 12, 18])
def test_outer_half_maximum_of_the_skull_lies_on_the_ellipse(every, index):
    """Without speckle the skull's outer half-maximum lies within 0.06 mm of the ellipse."""
    errors_mm = outer_edge_errors_mm(plain(every[index]))
    assert errors_mm.size >= 60
    assert np.abs(errors_mm).max() < EDGE_TOLERANCE_MM


def test_outer_half_maximum_lies_on_the_ellipse_when_pixels_are_far_from_square(every):
    """Pixels 40 % taller than wide move the drawn skull by no more than 0.06 mm."""
    base = every[7]
    tall = replace(base, pixel_size_y_mm=base.pixel_size_x_mm * 1.4)
    tall = plain(tall, probe_y_px=base.probe_y_px / 1.4)
    errors_mm = outer_edge_errors_mm(tall)
    assert errors_mm.size >= 60
    assert np.abs(errors_mm).max() < EDGE_TOLERANCE_MM


def test_unequal_pixel_sizes_squeeze_a_circle_into_an_ellipse(every):
    """A circle of 60 mm on pixels of 0.2 mm by 0.25 mm is 300 pixels wide and 240 tall."""
    circle = replace(
        every[0],
        occipitofrontal_diameter_mm=60.0,
        biparietal_diameter_mm=60.0,
        pixel_size_x_mm=0.2,
        pixel_size_y_mm=0.25,
    )
    ellipse = true_ellipse(circle)
    assert 2 * ellipse.semi_axis_major_px == pytest.approx(300)
    assert 2 * ellipse.semi_axis_minor_px == pytest.approx(240)
    assert math.sin(ellipse.angle_rad) == pytest.approx(0, abs=1e-9)
    assert (ellipse.center_x_px, ellipse.center_y_px) == pytest.approx(
        (circle.center_x_px, circle.center_y_px)
    )
    assert (circle.spacing.row_mm, circle.spacing.column_mm) == (0.25, 0.2)


def test_outside_the_sector_is_black(every):
    """The corners outside the probe's sector are black."""
    pixels = phantom.draw_phantom(every[16])
    assert pixels[:20, :20].max() == 0
    assert pixels[:20, -20:].max() == 0


def test_phantoms_cover_the_stated_range(every):
    """Twenty seeds: 70 to 340 mm, cephalic index 0.72 to 0.86, four unequal, three other sizes."""
    assert len(every) == len(json.loads(PARAMETERS_PATH.read_text(encoding="utf-8"))) == 20
    assert len({entry.seed for entry in every}) == 20
    true_mm = [phantom.true_head_circumference_mm(entry) for entry in every]
    assert 69 < min(true_mm) < 75
    assert 330 < max(true_mm) < 341
    for entry in every:
        index = entry.biparietal_diameter_mm / entry.occipitofrontal_diameter_mm
        assert 0.715 < index < 0.865
        assert 0.05 <= entry.pixel_size_x_mm <= 0.39
    assert sum(entry.pixel_size_x_mm != entry.pixel_size_y_mm for entry in every) == 4
    assert sum((entry.columns, entry.rows) != (800, 540) for entry in every) == 3


def test_every_head_lies_inside_its_frame(every):
    """No ellipse touches the border of its frame."""
    for entry in every:
        ellipse = true_ellipse(entry)
        half_x, half_y = np.linalg.norm(ellipse.to_shape_matrix(), axis=1)
        assert half_x + 2 < ellipse.center_x_px < entry.columns - 3 - half_x
        assert half_y + 2 < ellipse.center_y_px < entry.rows - 3 - half_y


def test_csv_states_every_phantom(tmp_path, every):
    """Each CSV row gives the pixel size and the true lengths of the file that it names."""
    chosen = every[:2]
    phantom.write_phantoms(tmp_path, parameters=chosen)
    with (tmp_path / "phantoms.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "filename",
        "pixel_size_x_mm",
        "pixel_size_y_mm",
        "head_circumference_mm",
        "biparietal_diameter_mm",
        "occipitofrontal_diameter_mm",
    ]
    assert [row["filename"] for row in rows] == ["phantom_00.png", "phantom_01.png"]
    for row, entry in zip(rows, chosen, strict=True):
        written = cv2.imread(str(tmp_path / row["filename"]), cv2.IMREAD_UNCHANGED)
        assert written.shape == (entry.rows, entry.columns)
        assert float(row["pixel_size_x_mm"]) == entry.pixel_size_x_mm
        assert float(row["pixel_size_y_mm"]) == entry.pixel_size_y_mm
        true_mm = phantom.true_head_circumference_mm(entry)
        assert float(row["head_circumference_mm"]) == pytest.approx(true_mm, abs=1e-4)
        assert float(row["biparietal_diameter_mm"]) == entry.biparietal_diameter_mm
        assert float(row["occipitofrontal_diameter_mm"]) == entry.occipitofrontal_diameter_mm


def test_command_writes_only_the_requested_phantom(tmp_path):
    """`--index 7` run from another folder writes phantom 7 and nothing else."""
    command = [sys.executable, str(EXAMPLES / "phantom.py"), "--out", str(tmp_path), "--index", "7"]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    assert [path.name for path in tmp_path.iterdir()] == ["phantom_07.png"]
