import numpy as np
import pytest

from headcirc.second_look import infer_carefully


class Recorder:
    """A network with a right hand: probabilities are the input times a ramp over the columns."""

    def __init__(self):
        self.batches = []

    def __call__(self, network_input):
        """Multiply by 1 on the left edge down to 0.5 on the right edge."""
        self.batches.append(len(network_input))
        return network_input[:, 0] * np.linspace(1, 0.5, network_input.shape[-1], dtype=np.float32)


def draw(*values):
    return np.stack([np.full((1, 6, 8), value, np.float32) for value in values])


def test_sure_picture_is_looked_at_once():
    """A head of probability 1 everywhere needs no second look, nor does an empty picture."""
    calls = []
    pictures = draw(1.0, 0.1)
    maps = infer_carefully(lambda x: calls.append(len(x)) or x[:, 0], pictures, 0.5)
    assert np.array_equal(maps, pictures[:, 0])
    assert calls == [2]


def test_unsure_picture_gets_the_mean_of_its_four_mirror_images():
    """The ramp's mean with its mirror image is flat at three quarters, by hand."""
    network = Recorder()
    maps = infer_carefully(network, draw(1.0), 0.4)
    assert maps[0] == pytest.approx(np.full((6, 8), 0.75), abs=1e-6)
    assert network.batches == [1, 3]


def test_each_picture_of_a_batch_is_judged_alone():
    """The empty one keeps its own answer, the unsure one is looked at again."""
    network = Recorder()
    maps = infer_carefully(network, draw(0.1, 1.0), 0.4)
    assert maps[0] == pytest.approx(0.1 * np.linspace(1, 0.5, 8)[None].repeat(6, 0), abs=1e-6)
    assert maps[1] == pytest.approx(np.full((6, 8), 0.75), abs=1e-6)
    assert network.batches == [2, 3]


def test_mirror_images_are_turned_back():
    """A network that sees each pixel alone gives a mirrored picture the same answer, turned."""
    picture = np.random.default_rng(0).uniform(0.5, 0.9, (1, 1, 6, 8)).astype(np.float32)
    maps = infer_carefully(lambda x: x[:, 0], picture, 0.5)
    assert maps == pytest.approx(picture[:, 0], abs=1e-6)
