from dataclasses import replace

import numpy as np
import pytest

from headcirc.geometry import Ellipse
from headcirc.raster import to_ellipse_coverage
from training.augmentation.head_swap import (
    LARGEST_SIZE_RATIO,
    RIM_START_SHARES,
    RIM_WIDTH_SHARES,
    are_alike,
    is_whole,
    paste_head,
)

ROWS, COLUMNS = 160, 240
HOST = Ellipse(100.0, 90.0, 50.0, 38.0, 2.5)
DONOR_ROWS, DONOR_COLUMNS = 200, 180
DONOR = Ellipse(85.0, 105.0, 40.0, 33.0, 0.4)
WIDEST_RIM = 1 + RIM_START_SHARES[1] + RIM_WIDTH_SHARES[1]


def fill(ellipse, rows, columns, *, inside, outside):
    coverage = to_ellipse_coverage(ellipse, rows, columns)
    return np.rint(outside + coverage * (inside - outside)).astype(np.uint8)


@pytest.fixture(scope="module")
def host():
    """Return a frame whose own head is dark and whose surroundings are grey."""
    return fill(HOST, ROWS, COLUMNS, inside=10, outside=100)


@pytest.mark.parametrize("seed", range(6))
def test_donor_head_fills_the_ellipse_of_the_replaced_head(host, seed):
    """A bright donor head fills exactly the frame's ellipse, for every flip."""
    donor = fill(DONOR, DONOR_ROWS, DONOR_COLUMNS, inside=220, outside=100)
    swapped = paste_head(host, HOST, donor, DONOR, np.random.default_rng(seed))
    seen = swapped > 160
    label = to_ellipse_coverage(HOST, ROWS, COLUMNS) > 0.5
    assert 2 * (seen & label).sum() / (seen.sum() + label.sum()) > 0.985


def test_surroundings_of_a_replaced_head_do_not_change(host):
    """Outside the widest rim no pixel changes, and the original head is gone."""
    donor = fill(DONOR, DONOR_ROWS, DONOR_COLUMNS, inside=220, outside=60)
    swapped = paste_head(host, HOST, donor, DONOR, np.random.default_rng(0))
    widest = replace(
        HOST,
        semi_axis_major_px=HOST.semi_axis_major_px * WIDEST_RIM + 1,
        semi_axis_minor_px=HOST.semi_axis_minor_px * WIDEST_RIM + 1,
    )
    beyond = to_ellipse_coverage(widest, ROWS, COLUMNS) == 0
    assert np.array_equal(swapped[beyond], host[beyond])
    assert swapped[to_ellipse_coverage(HOST, ROWS, COLUMNS) == 1].min() > 100


def test_brightness_of_the_donor_head_matches_the_frame(host):
    """A donor of half the brightness is brightened to almost twice, to match the frame's rim."""
    donor = fill(DONOR, DONOR_ROWS, DONOR_COLUMNS, inside=110, outside=50)
    swapped = paste_head(host, HOST, donor, DONOR, np.random.default_rng(1))
    middle = swapped[80:100, 90:110]
    assert middle.mean() == pytest.approx(220, rel=0.1)


def test_only_heads_of_similar_size_are_swapped():
    """Two heads are similar below the maximum ratio of their circumferences, in either order."""
    near, far = 100 * LARGEST_SIZE_RATIO - 1, 100 * LARGEST_SIZE_RATIO + 1
    assert are_alike(100, near)
    assert are_alike(near, 100)
    assert not are_alike(100, far)
    assert not are_alike(far, 100)


@pytest.mark.parametrize(
    ("center_x_px", "is_inside"), [(120.0, True), (50 * WIDEST_RIM, True), (57.0, False)]
)
def test_a_whole_head_has_its_rim_inside_the_frame(center_x_px, is_inside):
    """A head is complete if its rim, at most 20 % of its radius, touches no border."""
    pixels = np.zeros((ROWS, COLUMNS), np.uint8)
    ellipse = Ellipse(center_x_px, 80.0, 50.0, 38.0, 0.0)
    assert is_whole(pixels, ellipse) == is_inside
