from dataclasses import replace

import cv2
import numpy as np
import pytest

from headcirc.geometry import Ellipse, to_affine_image
from headcirc.model.manifest import InputFacts
from headcirc.network_input import to_grid_mapping, to_network_input
from headcirc.raster import to_ellipse_coverage
from training.augmentation.examples import (
    AugmentationRanges,
    cut_side,
    draw_affine,
    draw_mild,
    to_example,
)

FACTS = InputFacts(width_px=64, height_px=64, pixel_aspect=1.5, mean=0.0, standard_deviation=1.0)
ROWS, COLUMNS = 160, 240
ELLIPSE = Ellipse(118.0, 84.0, 55.0, 41.0, 0.6)
SAME_GREY = AugmentationRanges(
    gamma_log=0.0,
    gain_low=1.0,
    gain_high=1.0,
    depth_gain_log=0.0,
    speckle=0.0,
    blur_px=0.0,
    shadow_probability=0.0,
    cut_probability=0.0,
)
IDENTITY = replace(
    SAME_GREY, rotation_deg=0.0, shift_share=0.0, scale_low=1.0, scale_high=1.0, aspect_log=0.0
)


@pytest.fixture(scope="module")
def pixels():
    """Return a frame that is bright in the ellipse and black outside."""
    return (to_ellipse_coverage(ELLIPSE, ROWS, COLUMNS) * 200).round().astype(np.uint8)


def augment(pixels, ranges, seed):
    generator = np.random.default_rng(seed)
    return to_example(pixels, ELLIPSE, facts=FACTS, ranges=ranges, generator=generator)


@pytest.mark.parametrize("seed", range(4))
def test_without_augmentation_the_input_equals_the_services_input(pixels, seed):
    """Except for flips, zero ranges give the service's network input to within 2 % of white."""
    smooth = cv2.GaussianBlur(pixels, (0, 0), 4)
    grey, coverage = augment(smooth, IDENTITY, seed)
    flips = np.sign(np.diag(draw_affine(FACTS, IDENTITY, np.random.default_rng(seed))))
    step_x, step_y = flips.astype(int)[:2]
    expected, mapping = to_network_input(smooth, FACTS)
    assert np.abs(grey[::step_y, ::step_x] - expected[0, 0]).max() < 0.02
    on_grid = to_affine_image(ELLIPSE, mapping.to_network_affine())
    expected_coverage = to_ellipse_coverage(on_grid, 64, 64)
    assert np.abs(coverage[::step_y, ::step_x] - expected_coverage).max() < 1e-3


@pytest.mark.parametrize("seed", range(12))
def test_label_follows_the_image(pixels, seed):
    """Under strong geometry the bright area and the label still cover the same pixels."""
    strong = replace(SAME_GREY, rotation_deg=60.0, shift_share=0.2, aspect_log=0.3)
    grey, coverage = augment(pixels, strong, seed)
    seen, label = grey > 100 / 255, coverage > 0.5
    assert label.sum() > 100
    assert 2 * (seen & label).sum() / (seen.sum() + label.sum()) > 0.985
    assert np.clip(grey * 255 / 200, 0, 1).sum() == pytest.approx(coverage.sum(), rel=0.01)


def test_rotation_keeps_the_shape_in_the_frame(pixels):
    """A rotated head keeps its area in the frame: the pixel aspect is accounted for."""
    turning = replace(IDENTITY, rotation_deg=90.0)
    mapping = to_grid_mapping(ROWS, COLUMNS, FACTS)
    still = to_affine_image(ELLIPSE, mapping.to_network_affine())
    affine = draw_affine(FACTS, turning, np.random.default_rng(3))
    turned = to_affine_image(still, affine[:2])
    to_frame = np.array([[FACTS.pixel_aspect, 0.0, 0.0], [0.0, 1.0, 0.0]])
    before, after = to_affine_image(still, to_frame), to_affine_image(turned, to_frame)
    assert after.semi_axis_major_px == pytest.approx(before.semi_axis_major_px)
    assert after.semi_axis_minor_px == pytest.approx(before.semi_axis_minor_px)


def test_same_seed_gives_the_same_example(pixels):
    """All randomness comes from the generator, so its seed determines every value."""
    first, again = (augment(pixels, AugmentationRanges(), 7) for _ in range(2))
    other = augment(pixels, AugmentationRanges(), 8)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_values_stay_between_zero_and_one(pixels):
    """Grey values and coverage lie in [0, 1] and are float32 after the strongest changes."""
    wild = AugmentationRanges(
        gain_high=3.0, speckle=1.0, depth_gain_log=2.0, shadow_probability=1.0
    )
    for seed in range(12):
        for values in augment(pixels, wild, seed):
            assert values.dtype == np.float32
            assert values.shape == (64, 64)
            assert values.min() >= 0
            assert values.max() <= 1


def test_half_of_the_drawn_values_are_below_a_quarter_of_the_maximum():
    """No drawn value is above the maximum."""
    generator = np.random.default_rng(0)
    drawn = np.array([draw_mild(2.0, generator) for _ in range(4000)])
    assert np.median(drawn) == pytest.approx(0.5, abs=0.05)
    assert drawn.max() <= 2.0


@pytest.mark.parametrize("seed", range(8))
def test_a_cut_picture_has_one_black_side(seed):
    """Rows or columns at one side are black, at most the given share; the rest is kept."""
    grey = np.ones((64, 64), np.float32)
    cut_side(grey, 0.25, np.random.default_rng(seed))
    black_rows, black_columns = (grey == 0).all(axis=1), (grey == 0).all(axis=0)
    assert not (black_rows.any() and black_columns.any())
    assert max(black_rows.sum(), black_columns.sum()) <= 16
    assert (grey == 0).sum() == 64 * (black_rows.sum() + black_columns.sum())
    assert set(np.unique(grey)) <= {0.0, 1.0}


@pytest.mark.parametrize(("probability", "shares"), [(0.0, {1.0}), (1.0, {-1.0})])
def test_vertical_flips_have_the_given_probability(probability, shares):
    """The sign of the vertical scale shows the flip; horizontal flips always occur."""
    ranges = replace(IDENTITY, upside_down_probability=probability)
    affines = [draw_affine(FACTS, ranges, np.random.default_rng(seed)) for seed in range(20)]
    assert {float(np.sign(affine[1, 1])) for affine in affines} == shares
    assert {float(np.sign(affine[0, 0])) for affine in affines} == {-1.0, 1.0}
