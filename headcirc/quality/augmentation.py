"""Test-time augmentation: where the network is unsure, it is asked again about altered copies.

A head stays a head when its image is mirrored or made a little smaller or larger; a doubtful
structure beside it does not. The copies err differently, so their mean errs less, also less than a
mean that includes the first, unsure, inference. It takes six more inferences, so it is kept for the
few images that need it. No copy is upside down: the network never learned from such images.
`python -m evaluation.augmentation` compares sets of copies.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.model.manifest import MaskFacts

Array = NDArray[np.float32]
Augmentation = tuple[bool, float]
"""Whether the picture is mirrored left to right, and its zoom about the centre."""
AT_ONCE = 2
"""Copies that run through the network together: a runtime keeps the memory of its largest batch."""


def to_augmentations(*zooms: float) -> tuple[Augmentation, ...]:
    """Return each zoom with and without mirroring."""
    return tuple((is_mirrored, zoom) for zoom in zooms for is_mirrored in (False, True))


AUGMENTATIONS = to_augmentations(0.8, 0.9, 1.1)


def infer_with_augmentation(
    run_network: Callable[[Array], Array], network_input: Array, facts: MaskFacts
) -> Array:
    """Return probabilities (n, h, w) for network inputs (n, 1, h, w), augmented where unsure.

    Parameters
    ----------
    run_network : callable
        (n, 1, h, w) to (n, h, w) probabilities.
    network_input : (n, 1, h, w) float32
    facts : MaskFacts
        The threshold, and the mean probability of a head below which the network is asked again.
        Hardly one in a hundred of HC18's training images is (`evaluation.augmentation`).
    """
    probability_maps = run_network(network_input)
    unsure = [i for i, each in enumerate(probability_maps) if is_unsure(each, facts)]
    if not unsure:
        return probability_maps
    careful = probability_maps.copy()
    for i in unsure:
        careful[i] = infer_augmented(run_network, network_input[i, 0])
    return careful


def is_unsure(probability_map: Array, facts: MaskFacts) -> bool:
    """Return whether the mean probability of what may be a head, in (h, w), is low."""
    head = probability_map[probability_map > facts.threshold]
    return bool(head.size > 0 and head.mean() < facts.sure_mean_probability)


def infer_augmented(
    run_network: Callable[[Array], Array],
    picture: Array,
    augmentations: Sequence[Augmentation] = AUGMENTATIONS,
) -> Array:
    """Return the mean probability over copies of a picture, (h, w); each counts where it saw.

    Parameters
    ----------
    run_network : callable
        As for `infer_with_augmentation`.
    picture : (h, w) float32, network grid
    augmentations : sequence of Augmentation
        How the copies are altered; a zoom above 1 loses the rim, so one at most 1 must be there.
    """
    total, seen = np.zeros_like(picture), np.zeros_like(picture)
    for start in range(0, len(augmentations), AT_ONCE):
        some = augmentations[start : start + AT_ONCE]
        copies = np.stack([_alter(picture, augmentation) for augmentation in some])[:, None]
        for augmentation, answer in zip(some, run_network(copies), strict=True):
            total += _alter_back(answer, augmentation)
            seen += _alter_back(np.ones_like(picture), augmentation)
    return total / seen


def _alter(picture: Array, augmentation: Augmentation) -> Array:
    is_mirrored, zoom = augmentation
    dark = float(picture.min())  # as around every scan's sector
    size = picture.shape[::-1]
    copy = cv2.warpAffine(picture, _to_zoom(picture, zoom), size, borderValue=dark)
    return np.asarray(copy[:, ::-1] if is_mirrored else copy)


def _alter_back(answer: Array, augmentation: Augmentation) -> Array:
    is_mirrored, zoom = augmentation
    turned = np.ascontiguousarray(answer[:, ::-1]) if is_mirrored else answer
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(turned, _to_zoom(answer, zoom), answer.shape[::-1], flags=flags)
    )


def _to_zoom(picture: Array, zoom: float) -> NDArray[np.float64]:
    """Return the affine matrix that zooms about a picture's centre."""
    center = (np.array(picture.shape[::-1]) - 1) / 2
    return np.column_stack((zoom * np.eye(2), (1 - zoom) * center))
