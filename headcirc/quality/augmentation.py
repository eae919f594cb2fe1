"""Run the network again on altered copies of a picture that it is unsure of.

A head stays a head when its picture is mirrored and made a little smaller or larger. A structure
beside it that the network half believes in does not. The copies err differently, so their mean errs
less. It errs less without the original picture, which was the unsure one. This takes six more
inferences, so it is kept for the few pictures that need it. No copy is turned upside down, because
the network never learned from such pictures. `python -m evaluation.augmentation` compared the
copies.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Augmentation = tuple[bool, float]
"""Whether the picture is mirrored left to right, and its zoom about the centre."""
SURE_PROBABILITY = 0.95
"""The network runs again if the mean probability of the head's pixels is below this. Hardly one in
a hundred of HC18's training and calibration images is (`evaluation.augmentation`)."""
AT_ONCE = 2
"""Copies that run through the network together: a runtime keeps the memory of its largest batch."""


def to_augmentations(*zooms: float) -> tuple[Augmentation, ...]:
    """Return each zoom with and without mirroring."""
    return tuple((is_mirrored, zoom) for zoom in zooms for is_mirrored in (False, True))


AUGMENTATIONS = to_augmentations(0.8, 0.9, 1.1)


def infer_with_augmentation(
    run_network: Callable[[Array], Array], network_input: Array, threshold: float
) -> Array:
    """Return probabilities (n, h, w) for network inputs (n, 1, h, w), looking twice if unsure.

    Parameters
    ----------
    run_network : callable
        (n, 1, h, w) to (n, h, w) probabilities.
    network_input : (n, 1, h, w) float32
    threshold : float
        The probability from which on a pixel counts as head, from the manifest.
    """
    probability_maps = run_network(network_input)
    unsure = [i for i, each in enumerate(probability_maps) if is_unsure(each, threshold)]
    if not unsure:
        return probability_maps
    careful = probability_maps.copy()
    for i in unsure:
        careful[i] = infer_augmented(run_network, network_input[i, 0])
    return careful


def is_unsure(probability_map: Array, threshold: float) -> bool:
    """Return whether the network half believes in what it takes for a head, (h, w)."""
    head = probability_map[probability_map > threshold]
    return bool(head.size > 0 and head.mean() < SURE_PROBABILITY)


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
