import cv2
import numpy as np
import pytest

from headcirc.geometry import Ellipse
from headcirc.overlay import (
    ELLIPSE_RGB,
    UNRELIABLE_ELLIPSE_RGB,
    draw_overlay,
    draw_saliency,
    to_map_picture,
    to_mask_picture,
    to_png,
)
from headcirc.raster import to_ellipse_coverage

HEAD = Ellipse(150.0, 100.0, 80.0, 60.0, 0.0)


def test_overlay_without_a_head_is_the_frame():
    """Without a head the overlay is the frame in grey."""
    pixels = np.random.default_rng(0).integers(0, 255, (50, 60), np.uint8)
    assert (draw_overlay(pixels, None, None) == pixels[..., None]).all()


def test_ellipse_is_drawn_at_its_position():
    """Pixels on the outline have the ellipse's colour, at both ends of both axes."""
    picture = draw_overlay(np.zeros((200, 300), np.uint8), None, HEAD)
    for x, y in [(207, 142), (93, 58)]:
        patch = picture[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3)
        assert np.abs(patch.astype(int) - ELLIPSE_RGB).sum(axis=1).min() < 100


def find_drawn(picture, color):
    """Return how many of the outline's 360 places have nearly a colour."""
    turns = np.deg2rad(np.arange(360))
    xs = np.rint(HEAD.center_x_px + HEAD.semi_axis_major_px * np.cos(turns)).astype(int)
    ys = np.rint(HEAD.center_y_px + HEAD.semi_axis_minor_px * np.sin(turns)).astype(int)
    return np.count_nonzero(np.abs(picture[ys, xs].astype(int) - color).sum(axis=1) < 200)


def test_unreliable_ellipse_is_dashed_and_of_another_colour():
    """About a third of the outline is omitted, and no pixel has the colour of a reliable one."""
    black = np.zeros((200, 300), np.uint8)
    reliable = draw_overlay(black, None, HEAD)
    unreliable = draw_overlay(black, None, HEAD, acceptable=False)
    assert find_drawn(reliable, ELLIPSE_RGB) > 300
    assert 180 < find_drawn(unreliable, UNRELIABLE_ELLIPSE_RGB) < 300
    assert find_drawn(unreliable, ELLIPSE_RGB) == 0


def test_mask_picture_is_black_and_white_in_the_frame_s_size():
    """255 inside, 0 outside, and all 0 without a head."""
    mask = to_ellipse_coverage(HEAD, 200, 300) > 0.5
    assert (to_mask_picture(mask, 200, 300) == mask * 255).all()
    assert not to_mask_picture(None, 20, 30).any()


def test_png_keeps_the_order_of_colours():
    """RGB stays RGB."""
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    decoded = cv2.imdecode(np.frombuffer(to_png(red), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert (decoded == red).all()


def draw_ramp(blend, mask=None):
    """Draw a map that grows from left to right over a frame of one grey."""
    ramp = np.tile(np.linspace(0, 1, 300, dtype=np.float32), (200, 1))
    return draw_saliency(np.full((200, 300), 90, np.uint8), ramp, mask, blend=blend)


def to_luma(color):
    """Return how bright a colour is (ITU-R BT.601)."""
    return np.asarray(color, float) @ [0.299, 0.587, 0.114]


BESIDE_THE_SCALE = np.s_[:, :260]


def test_blend_of_zero_is_the_frame_and_of_one_is_the_map():
    """At 0 no pixel beside the scale has a colour; at 1 none depends on the frame."""
    assert (draw_ramp(0)[BESIDE_THE_SCALE] == 90).all()
    ramp = np.tile(np.linspace(0, 1, 300, dtype=np.float32), (200, 1))
    noise = np.random.default_rng(0).integers(0, 255, (200, 300), np.uint8)
    alone = draw_saliency(noise, ramp, None, blend=1)
    assert (alone[BESIDE_THE_SCALE] == draw_ramp(1)[BESIDE_THE_SCALE]).all()


def test_blend_between_is_the_weighted_mean():
    """A quarter of colour: every pixel is 3/4 frame and 1/4 map, to rounding."""
    expected = 0.75 * draw_ramp(0).astype(float) + 0.25 * draw_ramp(1)
    found = draw_ramp(0.25)[BESIDE_THE_SCALE].astype(float)
    assert np.abs(found - expected[BESIDE_THE_SCALE]).max() <= 1


def test_colors_grow_brighter_with_the_map():
    """The colours are viridis, whose luma grows from end to end and by even steps."""
    row = draw_ramp(1)[100, :260]
    assert np.abs(row[0].astype(int) - (68, 1, 84)).max() <= 2
    luma = to_luma(row)
    assert (np.diff(luma[::10]) > 0).all()
    half = luma[130] - luma[0]
    assert 0.3 < half / (luma[259] - luma[0]) < 0.7


def test_scale_runs_from_zero_to_one():
    """Down the bar at the right, colours go from the map's highest to its lowest."""
    blank = draw_saliency(np.zeros((400, 600), np.uint8), np.zeros((400, 600), np.float32), None)
    left = 600 - 3 * (600 // 40)
    bar = blank[100:300, left + 7]
    highest, lowest = draw_ramp(1)[100, -1], draw_ramp(1)[100, 0]
    assert np.abs(bar[2].astype(int) - [253, 231, 37]).max() < 12
    assert np.abs(bar[-3].astype(int) - lowest).max() < 12
    assert to_luma(highest) > to_luma(lowest)
    labels = [blank[60:97, left : left + 30], blank[303:330, left : left + 30]]
    assert all(label.max() > 200 for label in labels)


def test_mask_edge_lies_on_top_of_the_map():
    """White on the outline at every blend, and untouched colours in the middle of the head."""
    mask = to_ellipse_coverage(HEAD, 200, 300) > 0.5
    for blend in (0, 0.5, 1):
        picture, without = draw_ramp(blend, mask), draw_ramp(blend)
        assert (picture[100, 66:74] == 255).all(axis=1).any()
        assert (picture[100, 66:74] == 0).all(axis=1).any()
        assert (picture[90:110, 100:200] == without[90:110, 100:200]).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (16, 900), (900, 16)])
def test_very_small_frames_are_drawn(shape):
    """A frame too small for a scale is drawn in its own size."""
    picture = draw_saliency(np.zeros(shape, np.uint8), np.ones(shape, np.float32), None)
    assert picture.shape == (*shape, 3)


@pytest.mark.parametrize("blend", [-0.1, 1.1, float("nan")])
def test_blend_outside_0_to_1_is_refused(blend):
    """Also NaN is refused."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        draw_ramp(blend)


def test_map_picture_is_the_map_in_eight_bits():
    """0 is 0, 1 is 255, one half is 128; the size stays."""
    values = np.array([[0, 0.5, 1]], np.float32)
    assert to_map_picture(values).tolist() == [[0, 128, 255]]
    assert to_map_picture(values).dtype == np.uint8
