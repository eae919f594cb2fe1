"""A depth scale is found where one is drawn, and nothing is proposed where none is."""

import cv2
import numpy as np
import pytest

from headcirc.errors import ScaleBarError
from headcirc.scale_bar import find_scale_bar, require_scale_bar
from tests.support.depth_scale import COLUMNS, ROWS, draw_scale


def draw_speckle(seed: int, *, mean: float = 60.0) -> np.ndarray:
    """Draw tissue: multiplicative noise, smeared sideways as by an ultrasound beam."""
    generator = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(generator.rayleigh(1.0, (ROWS, COLUMNS)), (0, 0), 4, sigmaY=1.5)
    return np.clip(mean * noise / noise.mean(), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("spacing_px", [20.43, 35.3, 43.6, 61.7, 92.2])
def test_spacing_of_drawn_marks_is_found(spacing_px):
    """Faint marks between bright ones count: the distance is that of neighbours."""
    found = find_scale_bar(draw_scale(spacing_px))
    assert found is not None
    assert found.spacing_px == pytest.approx(spacing_px, rel=2e-3)
    assert found.column_px == pytest.approx(29.5, abs=2.5)
    assert found.marks_px[0] == pytest.approx(11.0, abs=0.6)
    assert found.confidence > 0.99


@pytest.mark.parametrize("column", [1, 30, COLUMNS - 40, COLUMNS - 5])
def test_scale_at_either_side_is_found(column):
    """Left, right, and marks that touch the picture's border."""
    found = find_scale_bar(draw_scale(44.4, column=column))
    assert found is not None
    assert found.spacing_px == pytest.approx(44.4, rel=2e-3)


def test_dark_marks_on_bright_tissue_are_found():
    """Scanners draw a mark dark where the tissue below it is bright."""
    tissue = np.full((ROWS, COLUMNS), 230, np.uint8)
    found = find_scale_bar(draw_scale(50.2, pixels=tissue, levels=(60, 120)))
    assert found is not None
    assert found.spacing_px == pytest.approx(50.2, rel=2e-3)


def test_marks_over_speckle_are_found():
    """Half of the marks lie over tissue."""
    tissue = draw_speckle(1, mean=50.0)
    tissue[: ROWS // 2] = 0
    found = find_scale_bar(draw_scale(40.9, pixels=tissue))
    assert found is not None
    assert found.spacing_px == pytest.approx(40.9, rel=5e-3)


@pytest.mark.parametrize(("long_every", "mark_mm"), [(5, 10.0), (10, 5.0), (0, None)])
def test_long_marks_suggest_the_millimetres(long_every, mark_mm):
    """Every fifth long: 10 mm; every tenth: 5 mm; none: no suggestion."""
    found = find_scale_bar(draw_scale(43.5, long_every=long_every))
    assert found is not None
    assert found.suggested_mark_mm == mark_mm


def test_one_long_mark_between_usual_ones_suggests_5_mm():
    """The next long mark lies outside; five marks on there is a usual one."""
    found = find_scale_bar(draw_scale(75.0, long_every=10, long_first=1))
    assert found is not None
    assert found.suggested_mark_mm == 5.0


@pytest.mark.parametrize("seed", range(6))
def test_tissue_alone_has_no_scale(seed):
    """Speckle is irregular."""
    assert find_scale_bar(draw_speckle(seed)) is None


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((ROWS, COLUMNS), np.uint8),
        np.full((ROWS, COLUMNS), 128, np.uint8),
        np.tile(np.linspace(0, 255, COLUMNS).astype(np.uint8), (ROWS, 1)),
        np.zeros((1, 1), np.uint8),
        np.zeros((5, 900), np.uint8),
        np.zeros((900, 5), np.uint8),
        np.zeros((60, 60), np.uint8),
    ],
    ids=["black", "grey", "ramp", "pixel", "line", "column", "small"],
)
def test_pictures_without_marks_have_no_scale(pixels):
    """Nothing is proposed, whatever the size."""
    assert find_scale_bar(pixels) is None


def test_four_marks_are_too_few():
    """So few may be anything."""
    picture = draw_scale(150.0)
    picture[500:] = 0
    assert find_scale_bar(picture) is None


def test_irregular_marks_are_no_scale():
    """Lines of text have about one distance, but not exactly."""
    generator = np.random.default_rng(3)
    picture = np.zeros((ROWS, COLUMNS), np.uint8)
    for row in np.cumsum(generator.integers(20, 60, 14)):
        picture[row : row + 3, 28:32] = 220
    assert find_scale_bar(picture) is None


def test_required_scale_is_found_or_refused():
    """Without a scale, or against its long marks, there is an error and no guess."""
    picture = draw_scale(43.5, long_every=10)
    assert require_scale_bar(picture, 5.0).spacing_px == pytest.approx(43.5, rel=2e-3)
    with pytest.raises(ScaleBarError, match="suggest 5 mm from mark to mark, and 10 mm"):
        require_scale_bar(picture, 10.0)
    with pytest.raises(ScaleBarError, match="No depth scale was found"):
        require_scale_bar(np.zeros((ROWS, COLUMNS), np.uint8), 10.0)
    unmarked = draw_scale(43.5)
    assert require_scale_bar(unmarked, 7.5).suggested_mark_mm is None
