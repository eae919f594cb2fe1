"""What training minimises: binary cross-entropy plus soft Dice, on coverage targets."""

import torch
from torch import Tensor
from torch.nn import functional


def to_soft_dice_loss(logits: Tensor, coverage: Tensor) -> Tensor:
    """Return one minus the Dice overlap of probabilities and coverage, averaged over images.

    Parameters
    ----------
    logits, coverage : (n, 1, h, w)
        Coverage in [0, 1]. Dice with squares in the denominator (Milletari 2016,
        arXiv 1606.04797) is 1 just where the probabilities equal the coverage, soft edges too.
    """
    probabilities = torch.sigmoid(logits)
    overlap = (probabilities * coverage).sum(dim=(1, 2, 3))
    total = (probabilities**2).sum(dim=(1, 2, 3)) + (coverage**2).sum(dim=(1, 2, 3))
    return (1 - (2 * overlap + 1) / (total + 1)).mean()


def to_loss(logits: Tensor, coverage: Tensor) -> Tensor:
    """Return binary cross-entropy plus soft Dice loss for (n, 1, h, w) logits and coverage."""
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, coverage)
    return cross_entropy + to_soft_dice_loss(logits, coverage)
