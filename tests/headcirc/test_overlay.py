import cv2
import numpy as np

from headcirc.geometry import Ellipse, to_ellipse_coverage
from headcirc.overlay import ELLIPSE_RGB, draw_overlay, to_mask_picture, to_png

HEAD = Ellipse(150.0, 100.0, 80.0, 60.0, 0.0)


def test_no_head_is_the_frame_alone():
    """Without a head the overlay is the frame in grey."""
    pixels = np.random.default_rng(0).integers(0, 255, (50, 60), np.uint8)
    assert (draw_overlay(pixels, None, None) == pixels[..., None]).all()


def test_ellipse_is_drawn_where_it_is():
    """Pixels on the outline have the ellipse's colour, at both ends of both axes."""
    picture = draw_overlay(np.zeros((200, 300), np.uint8), None, HEAD)
    for x, y in [(207, 142), (93, 58)]:
        patch = picture[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3)
        assert np.abs(patch.astype(int) - ELLIPSE_RGB).sum(axis=1).min() < 100


def test_mask_picture_is_black_and_white_in_the_frame_s_size():
    """255 inside, 0 outside, and all 0 without a head."""
    mask = to_ellipse_coverage(HEAD, 200, 300) > 0.5
    assert (to_mask_picture(mask, 200, 300) == mask * 255).all()
    assert not to_mask_picture(None, 20, 30).any()


def test_png_keeps_red_red():
    """RGB goes out as RGB."""
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    decoded = cv2.imdecode(np.frombuffer(to_png(red), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert (decoded == red).all()
