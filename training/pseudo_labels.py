"""Compute pseudo-labels: the teachers' mean probability, and which labels are reliable."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from headcirc.network_input import normalise
from headcirc.raster import to_ellipse_coverage
from training.data.canvas import FACTS, GRID
from training.data.examples import FOREIGN_HEAD, UNLABELLED, Example, Pool

MINIMUM_OVERLAP = 0.94
"""Minimum Dice of a pseudo-label and the annotated ellipse, for heads from other devices."""
MINIMUM_AGREEMENT = 0.95
"""Minimum Dice of the predictions for an image and for its mirror image."""
MINIMUM_PROBABILITY = 0.9
"""Minimum mean probability over the pixels classified as head."""
MINIMUM_SHARE = 0.01
"""Minimum area of a labelled head, as a share of the grid."""


@torch.no_grad()
def to_mean_probabilities(
    teachers: Sequence[nn.Module], network_input: Tensor, *, bfloat16: bool
) -> Tensor:
    """Return the (n, 1, h, w) mean of all teachers' head probabilities."""
    answers = []
    for teacher in teachers:
        with torch.autocast(network_input.device.type, torch.bfloat16, enabled=bfloat16):
            output = teacher(network_input)
        logits = output[0] if isinstance(output, tuple) else output
        answers.append(torch.sigmoid(logits.float()))
    return torch.stack(answers).mean(dim=0)


def find_labelled(
    teachers: Sequence[nn.Module], pool: Pool, device: torch.device, *, bfloat16: bool
) -> frozenset[str]:
    """Return the names of the foreign and unlabelled examples with a reliable pseudo-label.

    A label is reliable if the predictions for the image and its mirror image agree, if its mean
    probability is high and, where there is an annotated ellipse, if it overlaps it.
    """
    sure = set()
    for index, example in enumerate(tqdm(pool.examples, "pseudo-labels")):
        if example.source not in (FOREIGN_HEAD, UNLABELLED):
            continue
        plain = to_plain_input(pool.canvases[index])
        views = torch.from_numpy(np.concatenate((plain, plain[..., ::-1].copy()))).to(device)
        views = views.contiguous(memory_format=torch.channels_last)
        answers = to_mean_probabilities(teachers, views, bfloat16=bfloat16).cpu().numpy()
        if is_sure(answers[0, 0], answers[1, 0, :, ::-1], example):
            sure.add(example.name)
    return frozenset(sure)


def to_plain_input(canvas: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Convert a canvas to the (1, 1, h, w) network input that the service would use."""
    size = (GRID.width_px, GRID.height_px)
    small = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
    return normalise(np.asarray(small, np.uint8), GRID)[None, None]


def is_sure(first: NDArray[np.float32], second: NDArray[np.float32], example: Example) -> bool:
    """Return whether two (h, w) predictions for one image give a reliable label."""
    mean = (first + second) / 2
    head = mean > 0.5
    if head.mean() < MINIMUM_SHARE or mean[head].mean() < MINIMUM_PROBABILITY:
        return False
    if to_dice(first > 0.5, second > 0.5) < MINIMUM_AGREEMENT:
        return False
    if example.ellipse is None:
        return True
    canvas = to_ellipse_coverage(example.ellipse, FACTS.height_px, FACTS.width_px)
    annotated = cv2.resize(canvas, head.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
    return to_dice(head, annotated) >= MINIMUM_OVERLAP


def to_dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return the Dice overlap of two masks; 0 where both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else 0.0
