import numpy as np
import pytest

from headcirc.geometry import Ellipse
from headcirc.model.manifest import InputFacts
from headcirc.raster import to_ellipse_coverage
from training.data.negatives import cut_beside_head, draw_negative

FACTS = InputFacts(width_px=64, height_px=48, pixel_aspect=1.5, mean=0.0, standard_deviation=1.0)
ROWS, COLUMNS = 160, 240
SMALL_HEAD = Ellipse(70.0, 60.0, 40.0, 25.0, 0.7)


def draw_frame(ellipse):
    return np.rint(255 * to_ellipse_coverage(ellipse, ROWS, COLUMNS)).astype(np.uint8)


@pytest.mark.parametrize("seed", range(40))
def test_crop_never_contains_the_head(seed):
    """A crop beside a white head on black is black, and has the frame's proportions."""
    cut = cut_beside_head(draw_frame(SMALL_HEAD), SMALL_HEAD, np.random.default_rng(seed))
    assert cut.max() == 0
    assert cut.shape[1] / cut.shape[0] == pytest.approx(COLUMNS / ROWS, rel=0.05)


def test_no_crop_if_the_head_fills_the_frame():
    """A head that touches all borders leaves no room for a crop."""
    head = Ellipse(119.5, 79.5, 118.0, 78.0, 0.0)
    assert cut_beside_head(draw_frame(head), head, np.random.default_rng(0)) is None


def test_every_kind_of_picture_has_the_networks_size_and_range():
    """Fifty draws are float32 in [0, 1] on the network's grid, and all are different."""
    generator = np.random.default_rng(0)
    frame = draw_frame(SMALL_HEAD)
    pictures = [draw_negative(frame, SMALL_HEAD, FACTS, generator) for _ in range(50)]
    for picture in pictures:
        assert picture.shape == (48, 64)
        assert picture.dtype == np.float32
        assert 0 <= picture.min() <= picture.max() <= 1
    # Cuts beside this head are black; only they may be equal.
    drawn = [picture.tobytes() for picture in pictures if picture.max() > 0]
    assert len(set(drawn)) == len(drawn) > 10
