from dataclasses import replace

import numpy as np
import pytest

from headcirc.model.prediction import Prediction
from headcirc.quality.augmentation import infer_augmented, infer_with_augmentation
from tests.support.synthetic import to_manifest

ROWS, COLUMNS = 60, 80
FACTS = replace(to_manifest().mask, threshold=0.4)


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


def infer_maps(network, pictures, facts):
    return [each.probability_map for each in infer_with_augmentation(network, pictures, facts)]


def draw(*values):
    return np.stack([np.full((1, ROWS, COLUMNS), value, np.float32) for value in values])


def test_certain_picture_is_inferred_once():
    """A head of probability 1 needs no augmentation, and an empty picture neither."""
    calls = []
    pictures = draw(1.0, 0.1)
    maps = infer_with_augmentation(
        lambda x: calls.append(len(x)) or to_list(x[:, 0]), pictures, FACTS
    )
    assert np.array_equal([each.probability_map for each in maps], pictures[:, 0])
    assert calls == [2]


def test_uncertain_picture_gets_the_mean_of_its_copies():
    """By hand: the mean of the ramp and its mirror image is 0.75 at every zoom."""
    network = Recorder()
    maps = infer_maps(network, draw(1.0), FACTS)
    assert maps[0] == pytest.approx(np.full((ROWS, COLUMNS), 0.75), abs=1e-6)
    assert network.batches == [1, 2, 2, 2]


def test_each_picture_of_a_batch_is_augmented_separately():
    """The empty picture keeps its result; the uncertain one is augmented."""
    network = Recorder()
    maps = infer_maps(network, draw(0.1, 1.0), FACTS)
    ramp = np.linspace(1, 0.5, COLUMNS)[None].repeat(ROWS, 0)
    assert maps[0] == pytest.approx(0.1 * ramp, abs=1e-6)
    assert maps[1] == pytest.approx(np.full((ROWS, COLUMNS), 0.75), abs=1e-6)
    assert network.batches == [2, 2, 2, 2]


@pytest.mark.parametrize(
    "augmentations", [((False, 0.8),), ((True, 0.9),), ((False, 0.9), (True, 1.1))]
)
def test_transformations_of_copies_are_inverted(augmentations):
    """A network that works pixel by pixel gives the same result for every copy."""
    x, y = np.meshgrid(np.arange(COLUMNS), np.arange(ROWS))
    picture = (0.5 + 0.4 * np.sin(x / 13) * np.cos(y / 9 + x / 30)).astype(np.float32)
    careful = infer_augmented(
        lambda copies: to_list(copies[:, 0]), picture, augmentations
    ).probability_map
    inside = np.s_[2:-2, 2:-2]  # the rim mixes with the dark that comes in
    assert careful[inside] == pytest.approx(picture[inside], abs=0.01)


def test_each_copy_contributes_only_to_its_pixels():
    """At a zoom of 1.25 the outer tenth is out of sight: there the smaller copy alone is heard."""

    def run(copies):
        return to_list([np.full(copies.shape[2:], value, np.float32) for value in (0.2, 1.0)])

    careful = infer_augmented(run, draw(0.7)[0, 0], ((False, 0.9), (False, 1.25))).probability_map
    assert careful[ROWS // 2, COLUMNS // 2] == pytest.approx(0.6)
    assert careful[ROWS // 2, 2] == careful[2, COLUMNS // 2] == pytest.approx(0.2)


def test_padding_of_a_smaller_copy_is_dark():
    """It has the picture's darkest value."""
    copies = []
    infer_augmented(
        lambda x: copies.append(x) or to_list(x[:, 0]), draw(-0.9)[0, 0] + 0.0, ((False, 0.8),)
    )
    assert copies[0].min() == copies[0].max() == np.float32(-0.9)


def test_head_plane_is_the_mean_over_the_copies():
    """A certain picture keeps its own head-plane probability."""

    def run(network_input):
        return to_list(network_input[:, 0], [0.2, 0.6][: len(network_input)])

    certain, unsure = draw(1.0), draw(0.7)
    assert infer_with_augmentation(run, certain, FACTS)[0].head_plane_probability == 0.2
    assert infer_with_augmentation(run, unsure, FACTS)[0].head_plane_probability == pytest.approx(
        0.4
    )
