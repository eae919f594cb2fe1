from dataclasses import replace

import pytest
import torch
from torch import nn

from headcirc.geometry import Ellipse
from headcirc.raster import to_ellipse_coverage
from training.data.canvas import FACTS
from training.data.examples import FOREIGN_HEAD, UNLABELLED, Example
from training.pseudo_labels import is_sure, to_mean_probabilities

HEAD = Ellipse(250.0, 260.0, 130.0, 100.0, 0.3)
"""On the canvas."""


def draw(ellipse=HEAD, probability=1.0):
    """Return a teacher's (256, 256) answer that outlines an ellipse of the canvas."""
    canvas = to_ellipse_coverage(ellipse, FACTS.height_px, FACTS.width_px)
    return probability * canvas.reshape(256, 2, 256, 2).mean(axis=(1, 3))


class Fixed(nn.Module):
    """A teacher that gives every pixel one logit."""

    def __init__(self, logit):
        super().__init__()
        self.logit = logit

    def forward(self, network_input):
        """Return mask logits and a head-plane logit."""
        return torch.full_like(network_input, self.logit), torch.zeros(len(network_input), 1)


def test_reliable_prediction_becomes_a_pseudo_label():
    """Two agreeing, certain predictions label an image without an annotation."""
    assert is_sure(draw(), draw(), Example("a", UNLABELLED))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (draw(), draw(replace(HEAD, semi_axis_major_px=160.0))),
        (draw(probability=0.7), draw(probability=0.7)),
        (0 * draw(), 0 * draw()),
    ],
    ids=["looks disagree", "unsure", "no head"],
)
def test_unreliable_prediction_is_not_a_pseudo_label(first, second):
    """The image is left out of the training."""
    assert not is_sure(first, second, Example("a", UNLABELLED))


@pytest.mark.parametrize(("factor", "is_kept"), [(1.0, True), (0.985, True), (0.9, False)])
def test_pseudo_label_must_overlap_the_annotated_ellipse(factor, is_kept):
    """1.5 % inside the edge is typical of these ellipses; 10 % is another structure."""
    annotated = replace(HEAD, semi_axis_major_px=factor * 130.0, semi_axis_minor_px=factor * 100.0)
    assert is_sure(draw(), draw(), Example("a", FOREIGN_HEAD, annotated)) == is_kept


def test_teachers_are_averaged_in_probability():
    """Probabilities are averaged, not logits."""
    network_input = torch.zeros(2, 1, 8, 8)
    answers = to_mean_probabilities([Fixed(0.0), Fixed(100.0)], network_input, bfloat16=False)
    assert torch.allclose(answers, torch.full_like(answers, 0.75))
