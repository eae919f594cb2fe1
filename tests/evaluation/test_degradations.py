import math

import cv2
import numpy as np
import pytest

from evaluation.degradations import (
    DEGRADATIONS,
    cast_shadow,
    degrade_all,
    to_visible_outline,
)
from headcirc.geometry import Ellipse, to_ellipse_perimeter
from tests.support.synthetic import HEAD, draw_head

FRAME = draw_head()
WHITE = np.full((540, 800), 255, np.uint8)
GENTLE = ("gain", "blur", "speckle", "shadow")


def degrade(kind, pixels, severity, seed=0, ellipse=HEAD):
    return DEGRADATIONS[kind](pixels, ellipse, severity, np.random.default_rng(seed))


def to_moments_center(pixels):
    moments = cv2.moments(pixels)
    return moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
@pytest.mark.parametrize("seed", range(5))
def test_shadow_covers_the_stated_share_of_the_skull(share, seed):
    """On a white frame, the darkened share of the outline's length is the stated one."""
    shadowed = cast_shadow(WHITE, HEAD, share, np.random.default_rng(seed))
    x, y, lengths = to_visible_outline(HEAD, *WHITE.shape)
    seen = shadowed[np.rint(y).astype(int), np.rint(x).astype(int)]
    half = (int(shadowed.min()) + 255) / 2
    assert lengths[seen < half].sum() / lengths.sum() == pytest.approx(share, abs=0.01)


def test_shadow_is_a_wedge_from_above_and_leaves_the_rest():
    """The shadow reaches the lower border; pixels outside it are unchanged."""
    shadowed = cast_shadow(WHITE, HEAD, 0.2, np.random.default_rng(1))
    dark_columns = [np.count_nonzero(row < 250) for row in shadowed]
    assert 0 < dark_columns[0] < dark_columns[-1] or dark_columns[0] == 0 < dark_columns[-1]
    assert np.count_nonzero(shadowed == 255) > 0.3 * shadowed.size


def test_outline_has_the_length_of_the_ellipse_and_of_half_where_half_is_seen():
    """The lengths add up to the perimeter, or to half of it if the frame ends midway."""
    centred = Ellipse(300.0, 200.0, 100.0, 70.0, 0.0)
    step = 2 * math.pi / 2880
    whole = to_visible_outline(centred, 400, 600)[2].sum() * step
    assert whole == pytest.approx(to_ellipse_perimeter(100.0, 70.0), rel=1e-6)
    assert to_visible_outline(centred, 400, 301)[2].sum() * step == pytest.approx(
        whole / 2, rel=2e-3
    )


@pytest.mark.parametrize("kind", GENTLE)
def test_grey_changes_do_not_move_the_ellipse(kind):
    """Shadow, gain, blur and speckle change grey values only."""
    degraded, ellipse = degrade(kind, FRAME, 0.7)
    assert ellipse == HEAD
    assert degraded.shape == FRAME.shape
    assert not np.array_equal(degraded, FRAME)


@pytest.mark.parametrize("kind", ["gain", "blur", "speckle", "rotation"])
def test_severity_zero_changes_nothing(kind):
    """At severity 0 the frame is unchanged; shadow and crop have no such case."""
    degraded, _ = degrade(kind, FRAME, 0.0)
    assert np.array_equal(degraded, FRAME)


@pytest.mark.parametrize("seed", range(4))
def test_rotation_moves_the_ellipse_with_the_picture(seed):
    """Centre and direction follow the rotation; the axes keep their length."""
    head = Ellipse(430.0, 250.0, 150.0, 90.0, 0.5)
    turned, moved = degrade("rotation", draw_head(head), 0.6, seed, head)
    assert to_moments_center(turned) == pytest.approx(
        (moved.center_x_px, moved.center_y_px), abs=0.05
    )
    assert moved.semi_axis_major_px == pytest.approx(150) and moved.semi_axis_minor_px == (
        pytest.approx(90)
    )
    redrawn = draw_head(moved).astype(int)
    assert np.abs(redrawn - turned).mean() < 0.5
    assert abs(moved.angle_rad - 0.5) % math.pi == pytest.approx(math.radians(27), abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_crop_moves_the_ellipse_and_cuts_the_stated_share(seed):
    """The moved ellipse fits the smaller frame; severity 1 cuts a quarter of the head."""
    head = Ellipse(400.0, 270.0, 200.0, 100.0, 0.0)
    cut, moved = degrade("crop", draw_head(head), 1.0, seed, head)
    assert (
        np.abs(draw_head(moved, rows=cut.shape[0], columns=cut.shape[1]).astype(int) - cut).max()
        <= 1
    )
    outside = (
        -(moved.center_x_px - 200) / 400,
        -(moved.center_y_px - 100) / 200,
        (moved.center_x_px + 200 - cut.shape[1]) / 400,
        (moved.center_y_px + 100 - cut.shape[0]) / 200,
    )
    assert max(outside) == pytest.approx(0.25, abs=0.01)


def test_gain_is_at_most_fourfold_in_both_directions():
    """Grey 40 becomes 160 or 10 at severity 1."""
    grey = np.full((20, 30), 40, np.uint8)
    found = {int(degrade("gain", grey, 1.0, seed)[0].max()) for seed in range(12)}
    assert found == {10, 160}


def test_blur_and_speckle_keep_the_mean_and_grow_with_severity():
    """A flat field keeps its mean; noise and edge width grow with severity."""
    flat = np.full((200, 300), 100, np.uint8)
    for severity in (0.2, 0.4):
        spoiled = degrade("speckle", flat, severity)[0]
        assert spoiled.mean() == pytest.approx(100, abs=1)
        assert spoiled.std() == pytest.approx(80 * severity, rel=0.05)
    widths = [
        np.count_nonzero((each > 25) & (each < 230))
        for each in (degrade("blur", FRAME, severity)[0] for severity in (0.2, 0.5, 1.0))
    ]
    assert widths == sorted(widths) and widths[0] < widths[-1] / 3


def test_suite_is_the_same_every_time_and_differs_between_images():
    """The name fixes the seed; each kind occurs once; the input stays unchanged."""
    before = FRAME.copy()
    first, again = list(degrade_all(FRAME, HEAD, "a")), list(degrade_all(FRAME, HEAD, "a"))
    assert [each[0] for each in first] == list(DEGRADATIONS)
    assert all(
        np.array_equal(a[2], b[2]) and a[1] == b[1] for a, b in zip(first, again, strict=True)
    )
    other = list(degrade_all(FRAME, HEAD, "b"))
    assert all(a[1] != b[1] for a, b in zip(first, other, strict=True))
    assert np.array_equal(FRAME, before)


def test_severities_are_uniform():
    """Over many names, each tenth of the range has a tenth of the severities."""
    from evaluation.degradations import to_generator

    drawn = [to_generator("shadow", str(name)).uniform() for name in range(2000)]
    counts, _ = np.histogram(drawn, 10, (0, 1))
    assert counts.min() > 150 and counts.max() < 250
