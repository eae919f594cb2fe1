import numpy as np
import pytest

from headcirc.geometry import Ellipse, to_affine_image
from headcirc.mask import to_frame_grid
from headcirc.network_input import to_grid_mapping, to_network_input
from headcirc.raster import to_ellipse_coverage
from tests.support.synthetic import FACTS, HEAD, draw_head

SHAPES = [(540, 800), (541, 797), (480, 640), (768, 1024), (300, 900), (900, 300), (1, 1)]


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_content_fits_and_keeps_the_pixel_aspect(rows, columns):
    """The frame fills one side of the grid, and network pixels cover the same shape everywhere."""
    mapping = to_grid_mapping(rows, columns, FACTS)
    assert max(mapping.content_rows, mapping.content_columns) == 256
    if min(rows, columns) > 1:
        aspect = (columns / mapping.content_columns) / (rows / mapping.content_rows)
        assert aspect == pytest.approx(FACTS.pixel_aspect, rel=0.01)


def test_hc18_frames_fill_the_whole_grid():
    """800x540, for which the aspect was chosen, has no padding."""
    mapping = to_grid_mapping(540, 800, FACTS)
    assert (mapping.content_rows, mapping.content_columns, mapping.top, mapping.left) == (
        256, 256, 0, 0,
    )  # fmt: skip


@pytest.mark.parametrize(("columns", "pixel_aspect"), [(400, 2.0), (1600, 0.5)])
def test_non_square_pixels_give_the_input_of_square_ones(columns, pixel_aspect):
    """A picture with non-square pixels gives the same input and mapping as with square ones."""
    squeeze = np.array([[columns / 800, 0, columns / 1600 - 0.5], [0, 1, 0]])
    squeezed = draw_head(to_affine_image(HEAD, squeeze), columns=columns)
    network_input, mapping = to_network_input(squeezed, FACTS, frame_pixel_aspect=pixel_aspect)
    expected, _ = to_network_input(draw_head(), FACTS)
    assert (mapping.content_rows, mapping.content_columns) == (256, 256)
    assert np.abs(network_input - expected).max() * FACTS.standard_deviation < 0.2


@pytest.mark.parametrize(("rows", "columns"), SHAPES[:-1])
def test_round_trip_moves_no_centroid_by_more_than_a_tenth_of_a_network_pixel(rows, columns):
    """Frame to network to frame keeps a blob's centre of mass."""
    side_px = min(rows, columns)
    ellipse = Ellipse(columns * 0.55, rows * 0.45, side_px * 0.2, side_px * 0.15, 0.4)
    pixels = draw_head(ellipse, rows=rows, columns=columns)
    network_input, mapping = to_network_input(pixels, FACTS)
    grey = network_input[0, 0] * FACTS.standard_deviation + FACTS.mean
    back = to_frame_grid(grey, mapping)
    y, x = np.indices(back.shape)
    center_x, center_y = (back * x).sum() / back.sum(), (back * y).sum() / back.sum()
    tolerance_px = 0.1 * columns / mapping.content_columns
    assert center_x == pytest.approx(ellipse.center_x_px, abs=tolerance_px)
    assert center_y == pytest.approx(ellipse.center_y_px, abs=tolerance_px)


def test_affine_map_agrees_with_the_resize():
    """An ellipse mapped by algebra is where the resized picture of it is."""
    ellipse = Ellipse(430.0, 250.0, 150.0, 110.0, 0.9)
    network_input, mapping = to_network_input(draw_head(ellipse), FACTS)
    grey = network_input[0, 0] * FACTS.standard_deviation + FACTS.mean
    mapped = to_affine_image(ellipse, mapping.to_network_affine())
    assert np.abs(grey - to_ellipse_coverage(mapped, 256, 256)).max() < 0.2
    assert grey.sum() == pytest.approx(to_ellipse_coverage(mapped, 256, 256).sum(), rel=1e-3)


def test_padding_is_black():
    """Around a tall frame the network sees grey value 0."""
    network_input, mapping = to_network_input(np.full((900, 300), 255, np.uint8), FACTS)
    grey = network_input[0, 0] * FACTS.standard_deviation + FACTS.mean
    assert mapping.left > 0
    assert grey[:, : mapping.left] == pytest.approx(0, abs=1e-6)
