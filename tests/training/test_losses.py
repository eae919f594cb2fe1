import math

import numpy as np
import pytest
import torch

from headcirc.geometry import Ellipse, to_ellipse_perimeter
from headcirc.raster import to_ellipse_coverage
from training.losses import to_circumference, to_circumference_loss, to_loss, to_soft_dice_loss

GRID = (96, 128)


def to_coverage(*ellipses):
    """Return (n, 1, h, w) coverage of ellipses on `GRID`; None is a picture without a head."""
    pictures = [
        np.zeros(GRID, np.float32) if ellipse is None else to_ellipse_coverage(ellipse, *GRID)
        for ellipse in ellipses
    ]
    return torch.from_numpy(np.stack(pictures))[:, None]


def test_loss_of_a_perfect_prediction_is_almost_zero():
    """Certain, correct logits have a loss of almost zero."""
    coverage = torch.zeros(2, 1, 8, 8)
    coverage[:, :, 2:6, 2:6] = 1
    assert to_loss(40 * coverage - 20, coverage).item() == pytest.approx(0, abs=1e-6)


def test_dice_loss_is_zero_at_equal_soft_edges():
    """Probabilities equal to a soft coverage give a Dice loss of zero."""
    coverage = torch.linspace(0.1, 0.9, 16).reshape(1, 1, 4, 4)
    assert to_soft_dice_loss(torch.logit(coverage), coverage).item() == pytest.approx(0, abs=1e-6)


def test_losses_have_the_values_worked_by_hand():
    """Four probabilities of 0.5 at full coverage: Dice loss 1 - 5/6, cross-entropy ln 2."""
    logits, coverage = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    assert to_soft_dice_loss(logits, coverage).item() == pytest.approx(1 / 6)
    assert to_loss(logits, coverage).item() == pytest.approx(math.log(2) + 1 / 6)


def test_dice_is_averaged_over_images_not_pixels():
    """A correct and a wrong image have half the loss of the wrong one alone."""
    coverage = torch.ones(2, 1, 2, 2)
    coverage[1] = 0
    right_and_wrong = torch.full((2, 1, 2, 2), 30.0)
    wrong = to_soft_dice_loss(right_and_wrong[1:], coverage[1:]).item()
    assert to_soft_dice_loss(right_and_wrong, coverage).item() == pytest.approx(wrong / 2)


@pytest.mark.parametrize(("major", "minor", "angle_rad"), [(40, 30, 0.4), (20, 20, 0), (12, 9, 2)])
def test_circumference_from_moments_matches_the_ellipse(major, minor, angle_rad):
    """The moments of a drawn ellipse give its perimeter to 0.3 %."""
    ellipse = Ellipse(60.3, 47.8, major, minor, angle_rad)
    found = to_circumference(to_coverage(ellipse), 1.0).item()
    assert found == pytest.approx(to_ellipse_perimeter(major, minor), rel=3e-3)


def test_circumference_accounts_for_the_pixel_aspect():
    """An ellipse twice as high as wide, in pixels twice as wide as high, is a circle."""
    upright = Ellipse(60, 48, 40, 20, math.pi / 2)
    found = to_circumference(to_coverage(upright), 2.0).item()
    assert found == pytest.approx(2 * math.pi * 40, rel=3e-3)


def test_circumference_loss_is_the_relative_error():
    """10 % too large gives ln 1.1; a picture without a head gives 0."""
    head, larger = Ellipse(60, 48, 30, 20, 1.0), Ellipse(60, 48, 33, 22, 1.0)
    logits = 20 * (to_coverage(larger, larger) - 0.5)
    loss = to_circumference_loss(logits, to_coverage(head, None), 1.0).item()
    assert loss == pytest.approx(math.log(1.1), rel=0.02)


def test_circumference_loss_reduces_uncertain_pixels_beside_the_head():
    """The gradient lowers the logits of an uncertain area beside the head."""
    coverage = to_coverage(Ellipse(40, 48, 20, 16, 0))
    logits = 20 * (coverage - 0.5)
    logits[:, :, 40:56, 60:80] = 0.5
    logits.requires_grad_()
    to_circumference_loss(logits, coverage, 1.0).backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[:, :, 40:56, 66:80] > 0).all()


def test_circumference_loss_without_heads_is_zero():
    """A batch without heads has no loss and no gradient."""
    logits = torch.zeros(2, 1, *GRID, requires_grad=True)
    loss = to_circumference_loss(logits, to_coverage(None, None), 1.0)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()
