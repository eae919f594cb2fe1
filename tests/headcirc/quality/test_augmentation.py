from dataclasses import replace

import numpy as np
import pytest

from headcirc.model.manifest import HeadPlaneFacts
from headcirc.model.prediction import Prediction
from headcirc.quality.augmentation import average_copies, infer_with_augmentation
from tests.support.synthetic import to_manifest

ROWS, COLUMNS = 60, 80
MANIFEST = replace(to_manifest(), mask=replace(to_manifest().mask, threshold=0.4))


def to_list(maps, planes=None):
    planes = planes or [None] * len(maps)
    return [Prediction(*each) for each in zip(maps, planes, strict=True)]


class Recorder:
    """A network with a right hand: probabilities are the input times a ramp over the columns."""

    def __init__(self):
        self.batches = []

    def __call__(self, network_input):
        """Multiply by 1 on the left edge down to 0.5 on the right edge."""
        self.batches.append(len(network_input))
        ramp = np.linspace(1, 0.5, network_input.shape[-1], dtype=np.float32)
        return to_list(network_input[:, 0] * ramp)


def infer_maps(network, pictures):
    return [each.probability_map for each in infer_with_augmentation(network, pictures, MANIFEST)]


def draw(*values):
    return np.stack([np.full((1, ROWS, COLUMNS), value, np.float32) for value in values])


def test_certain_picture_is_inferred_once():
    """A head of probability 1 needs no augmentation, and an empty picture neither."""
    calls = []
    pictures = draw(1.0, 0.1)
    maps = infer_with_augmentation(
        lambda x: calls.append(len(x)) or to_list(x[:, 0]), pictures, MANIFEST
    )
    assert np.array_equal([each.probability_map for each in maps], pictures[:, 0])
    assert calls == [2]


def require_mean_of_ramps(probability_map):
    """Compare the middle row with the mean by hand, over x from -0.5 to 0.5.

    The smaller copy has 0.75 - 0.4 x. The larger, mirrored one has 0.75 + 0.55 x, as far as it
    shows the picture.
    """
    x = np.linspace(-0.5, 0.5, COLUMNS)
    is_middle, is_rim = np.abs(x) < 0.44, np.abs(x) > 0.47
    row = probability_map[ROWS // 2]
    assert row[is_middle] == pytest.approx((0.75 + 0.075 * x)[is_middle], abs=1e-3)
    assert row[is_rim] == pytest.approx((0.75 - 0.4 * x)[is_rim], abs=1e-3)


def test_uncertain_picture_gets_the_mean_of_its_copies():
    """Two copies run as one batch after the picture itself."""
    network = Recorder()
    (averaged,) = infer_maps(network, draw(1.0))
    require_mean_of_ramps(averaged)
    assert network.batches == [1, 2]


def test_each_picture_of_a_batch_is_augmented_separately():
    """The empty picture keeps its result; the uncertain one is augmented."""
    network = Recorder()
    empty, uncertain = infer_maps(network, draw(0.1, 1.0))
    ramp = np.linspace(1, 0.5, COLUMNS)[None].repeat(ROWS, 0)
    assert empty == pytest.approx(0.1 * ramp, abs=1e-6)
    require_mean_of_ramps(uncertain)
    assert network.batches == [2, 2]


@pytest.mark.parametrize(
    "augmentations", [((False, 0.8),), ((True, 0.9),), ((False, 0.9), (True, 1.1))]
)
def test_transformations_of_copies_are_inverted(augmentations):
    """A network that works pixel by pixel gives the same result for every copy."""
    x, y = np.meshgrid(np.arange(COLUMNS), np.arange(ROWS))
    picture = (0.5 + 0.4 * np.sin(x / 13) * np.cos(y / 9 + x / 30)).astype(np.float32)
    careful = average_copies(lambda copies: to_list(copies[:, 0]), picture, augmentations)
    inside = np.s_[2:-2, 2:-2]  # the rim mixes with the dark that comes in
    assert careful[inside] == pytest.approx(picture[inside], abs=0.01)


def test_each_copy_contributes_only_to_its_pixels():
    """At a zoom of 1.25 the outer tenth is out of sight: there the smaller copy alone is heard."""

    def run(copies):
        return to_list([np.full(copies.shape[2:], value, np.float32) for value in (0.2, 1.0)])

    careful = average_copies(run, draw(0.7)[0, 0], ((False, 0.9), (False, 1.25)))
    assert careful[ROWS // 2, COLUMNS // 2] == pytest.approx(0.6)
    assert careful[ROWS // 2, 2] == careful[2, COLUMNS // 2] == pytest.approx(0.2)


def test_padding_of_a_smaller_copy_is_dark():
    """It has the picture's darkest value."""
    copies = []
    average_copies(
        lambda x: copies.append(x) or to_list(x[:, 0]), draw(-0.9)[0, 0] + 0.0, ((False, 0.8),)
    )
    assert copies[0].min() == copies[0].max() == np.float32(-0.9)


def test_head_plane_is_that_of_the_first_inference():
    """Copies change the masks only, so certain and unsure pictures are judged in the same way."""

    def run(network_input):
        return to_list(network_input[:, 0], [0.3, 0.9][: len(network_input)])

    for picture in (draw(1.0), draw(0.7)):
        (prediction,) = infer_with_augmentation(run, picture, MANIFEST)
        assert prediction.head_plane_probability == 0.3


@pytest.mark.parametrize(("probability", "batches"), [(0.19, [1]), (0.2, [1, 2])])
def test_plane_without_a_head_is_not_augmented(probability, batches):
    """Below the limit no head is measured, whatever the copies show."""
    judging = replace(MANIFEST, head_plane=HeadPlaneFacts(0.85, minimum_probability=0.2))
    network = Recorder()

    def run(network_input):
        maps = [each.probability_map for each in network(network_input)]
        return to_list(maps, [probability] * len(maps))

    infer_with_augmentation(run, draw(1.0), judging)
    assert network.batches == batches
