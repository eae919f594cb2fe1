import cv2
import numpy as np
import pytest

from headcirc.geometry import Ellipse
from headcirc.network_input import to_network_input
from headcirc.raster import to_ellipse_coverage
from training.data.canvas import (
    FACTS,
    GRID,
    load_canvases,
    to_canvas,
    to_ellipse_on_canvas,
    to_jpeg_copy,
)
from training.pseudo_labels import to_plain_input


def draw_frame(rows, columns):
    ellipse = Ellipse(0.45 * columns, 0.55 * rows, 0.3 * columns, 0.2 * columns, 0.4)
    return (to_ellipse_coverage(ellipse, rows, columns) * 200).astype(np.uint8), ellipse


@pytest.mark.parametrize("shape", [(540, 800), (640, 928), (600, 600), (150, 300)])
def test_ellipse_lies_on_the_canvas_where_the_head_does(shape):
    """The mapped ellipse covers the head on the canvas."""
    frame, ellipse = draw_frame(*shape)
    canvas = to_canvas(frame) > 100
    on_canvas = to_ellipse_on_canvas(ellipse, shape)
    expected = to_ellipse_coverage(on_canvas, FACTS.height_px, FACTS.width_px) > 0.5
    assert (canvas != expected).sum() < 0.02 * expected.sum()


@pytest.mark.parametrize("shape", [(540, 800), (640, 928), (600, 600)])
def test_input_from_a_canvas_is_close_to_the_services_input(shape):
    """Resizing in two steps differs little from the service's single step."""
    frame = cv2.GaussianBlur(draw_frame(*shape)[0], (0, 0), 3)
    expected, _ = to_network_input(frame, GRID)
    found = to_plain_input(to_canvas(frame))
    assert np.abs(found - expected).mean() < 0.02


def test_frames_are_read_once(tmp_path):
    """The second call reads the cache, not the frames' pixels."""
    frame, _ = draw_frame(54, 80)
    path = tmp_path / "frame.png"
    cv2.imwrite(str(path), frame)
    first, shapes = load_canvases([path], tmp_path / "cache")
    path.write_bytes(bytes(path.stat().st_size))
    second, again = load_canvases([path], tmp_path / "cache")
    assert np.array_equal(first, second)
    assert shapes == again == [(54, 80)]


def test_another_list_of_frames_has_another_cache(tmp_path):
    """A fold never reads another fold's canvases."""
    for name, grey in (("a", 50), ("b", 90)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((54, 80), grey, np.uint8))
    for name, grey in (("a", 50), ("b", 90)):
        canvases, _ = load_canvases([tmp_path / f"{name}.png"], tmp_path / "cache")
        assert canvases[0].max() == grey


def test_jpeg_copy_keeps_the_picture_and_loses_its_sharpness():
    """The head keeps its position, and fine noise is smoothed."""
    generator = np.random.default_rng(0)
    canvas = to_canvas(draw_frame(540, 800)[0])
    noise = generator.integers(0, 256, canvas.shape).astype(np.uint8)
    assert np.abs(to_jpeg_copy(canvas, generator).astype(int) - canvas).mean() < 3
    assert to_jpeg_copy(noise, generator).std() < noise.std()
