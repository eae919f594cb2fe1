"""Compute the training loss: binary cross-entropy plus soft Dice, on coverage targets.

A recipe can add the error of the circumference.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

SHARPNESS = 4.0
"""Factor on the logits before the circumference is computed. Second moments grow with the squared
distance. Without the factor, low probabilities of the whole background would outweigh a small
head."""
TINY = 1e-3
"""Keeps divisions and square roots finite without a head; negligible beside a head's pixels."""


def to_soft_dice_loss(logits: Tensor, coverage: Tensor) -> Tensor:
    """Return one minus the Dice overlap of probabilities and coverage, averaged over images.

    Parameters
    ----------
    logits, coverage : (n, 1, h, w)
        Coverage in [0, 1].

    References
    ----------
    Milletari 2016, arXiv 1606.04797: with squares in the denominator, Dice is 1 exactly where the
    probabilities equal the coverage, also at soft edges.
    """
    return _to_soft_dice_losses(logits, coverage).mean()


def _to_soft_dice_losses(logits: Tensor, coverage: Tensor) -> Tensor:
    probabilities = torch.sigmoid(logits)
    overlap = (probabilities * coverage).sum(dim=(1, 2, 3))
    total = (probabilities**2).sum(dim=(1, 2, 3)) + (coverage**2).sum(dim=(1, 2, 3))
    return 1 - (2 * overlap + 1) / (total + 1)


def to_image_losses(logits: Tensor, coverage: Tensor) -> Tensor:
    """Return binary cross-entropy plus soft Dice loss of each image, (n,)."""
    cross_entropy = functional.binary_cross_entropy_with_logits(
        logits, coverage, reduction="none"
    ).mean(dim=(1, 2, 3))
    return cross_entropy + _to_soft_dice_losses(logits, coverage)


def to_loss(logits: Tensor, coverage: Tensor) -> Tensor:
    """Return binary cross-entropy plus soft Dice loss for (n, 1, h, w) logits and coverage."""
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, coverage)
    return cross_entropy + to_soft_dice_loss(logits, coverage)


def to_circumference(coverage: Tensor, pixel_aspect: float) -> Tensor:
    """Return the perimeter of the ellipse with the same second moments, in pixel heights.

    The result is exact for an ellipse that lies completely inside the picture.

    Parameters
    ----------
    coverage : (n, 1, h, w)
        Values in [0, 1]; edges may be soft.
    pixel_aspect : float
        Width over height of a pixel.

    Returns
    -------
    (n,)

    References
    ----------
    Ramanujan 1914, second approximation, as in `headcirc.geometry.to_ellipse_perimeter`.
    """
    weight = coverage[:, 0]
    rows, columns = (
        torch.arange(size, dtype=weight.dtype, device=weight.device) for size in weight.shape[1:]
    )
    y, x = rows[:, None], columns * pixel_aspect
    total = weight.sum(dim=(1, 2)) + TINY

    def to_mean(values: Tensor) -> Tensor:
        return (weight * values).sum(dim=(1, 2)) / total

    x_off = x - to_mean(x)[:, None, None]
    y_off = y - to_mean(y)[:, None, None]
    xx, yy, xy = to_mean(x_off**2), to_mean(y_off**2), to_mean(x_off * y_off)
    half_trace = (xx + yy) / 2
    half_gap = torch.sqrt(((xx - yy) / 2) ** 2 + xy**2 + TINY)
    major = 2 * torch.sqrt(half_trace + half_gap)
    minor = 2 * torch.sqrt((half_trace - half_gap).clamp(min=TINY))
    h = ((major - minor) / (major + minor)) ** 2
    return math.pi * (major + minor) * (1 + 3 * h / (10 + torch.sqrt(4 - 3 * h)))


def to_circumference_loss(logits: Tensor, coverage: Tensor, pixel_aspect: float) -> Tensor:
    """Return the mean absolute log error of the circumference over the pictures with a head.

    Second moments give more weight to distant pixels, so false positives beside the head cost more
    than in the Dice loss.
    """
    true = to_circumference(coverage, pixel_aspect)
    found = to_circumference(torch.sigmoid(SHARPNESS * logits), pixel_aspect)
    has_head = coverage.amax(dim=(1, 2, 3)) > 0
    error = torch.log(found / true).abs()
    return torch.where(has_head, error, 0).sum() / has_head.sum().clamp(min=1)
