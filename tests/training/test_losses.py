import math

import pytest
import torch

from training.losses import to_loss, to_soft_dice_loss


def test_perfect_prediction_costs_nothing():
    """Certain and right logits give a loss of nearly zero."""
    coverage = torch.zeros(2, 1, 8, 8)
    coverage[:, :, 2:6, 2:6] = 1
    assert to_loss(40 * coverage - 20, coverage).item() == pytest.approx(0, abs=1e-6)


def test_soft_edges_can_be_met_exactly():
    """Probabilities equal to a soft coverage give a Dice loss of zero."""
    coverage = torch.linspace(0.1, 0.9, 16).reshape(1, 1, 4, 4)
    assert to_soft_dice_loss(torch.logit(coverage), coverage).item() == pytest.approx(0, abs=1e-6)


def test_hand_worked_value():
    """Four even chances against full coverage: Dice loss 1 - 5/6, cross-entropy ln 2."""
    logits, coverage = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    assert to_soft_dice_loss(logits, coverage).item() == pytest.approx(1 / 6)
    assert to_loss(logits, coverage).item() == pytest.approx(math.log(2) + 1 / 6)


def test_dice_is_averaged_over_images_not_pixels():
    """One right and one wrong image cost half of what the wrong one costs alone."""
    coverage = torch.ones(2, 1, 2, 2)
    coverage[1] = 0
    right_and_wrong = torch.full((2, 1, 2, 2), 30.0)
    wrong = to_soft_dice_loss(right_and_wrong[1:], coverage[1:]).item()
    assert to_soft_dice_loss(right_and_wrong, coverage).item() == pytest.approx(wrong / 2)
