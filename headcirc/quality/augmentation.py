"""Apply test-time augmentation where the network is uncertain.

The network runs again on mirrored and scaled copies of the image, and the results are averaged. The
copies have different errors, so the mean has a smaller error. A mean that also includes the first,
uncertain inference is worse. Augmentation takes six more inferences, so it is used only for the few
images that need it. `python -m evaluation.augmentation` compares sets of copies.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.model.manifest import MaskFacts
from headcirc.model.prediction import Prediction

Array = NDArray[np.float32]
RunNetwork = Callable[[Array], Sequence[Prediction]]
"""Maps (n, 1, h, w) network inputs to n predictions."""
Augmentation = tuple[bool, float]
"""Whether the picture is mirrored left to right, and its zoom about the centre."""
BATCH_SIZE = 2
"""Copies per inference. It is small because a runtime keeps the memory of its largest batch."""


def to_augmentations(*zooms: float) -> tuple[Augmentation, ...]:
    """Return each zoom with and without mirroring."""
    return tuple((is_mirrored, zoom) for zoom in zooms for is_mirrored in (False, True))


AUGMENTATIONS = to_augmentations(0.8, 0.9, 1.1)


def infer_with_augmentation(
    run_network: RunNetwork, network_input: Array, facts: MaskFacts
) -> list[Prediction]:
    """Run the network, and run it again with augmentation where it is uncertain.

    Parameters
    ----------
    run_network : callable
        See `RunNetwork`.
    network_input : (n, 1, h, w) float32, network grid
    facts : MaskFacts
        The threshold, and the mean probability below which augmentation is used. About one in a
        hundred of HC18's training images is below it (`evaluation.augmentation`).

    Returns
    -------
    list of Prediction
        One for each picture.
    """
    return [
        infer_augmented(run_network, picture) if is_unsure(each.probability_map, facts) else each
        for each, (picture,) in zip(run_network(network_input), network_input, strict=True)
    ]


def is_unsure(probability_map: Array, facts: MaskFacts) -> bool:
    """Return whether the pixels above the threshold in (h, w) have a low mean probability."""
    head = (probability_map > facts.threshold).astype(np.float32)
    area_px = np.count_nonzero(head)
    # A product and a sum in one pass: picking the pixels out would take four times as long.
    total = float(np.einsum("ij,ij->", probability_map, head))
    return bool(area_px > 0 and total < facts.sure_mean_probability * area_px)


def infer_augmented(
    run_network: RunNetwork,
    picture: Array,
    augmentations: Sequence[Augmentation] = AUGMENTATIONS,
) -> Prediction:
    """Return the mean prediction over augmented copies of a picture.

    A copy contributes only to the pixels that it contains.

    Parameters
    ----------
    run_network : callable
        See `RunNetwork`.
    picture : (h, w) float32, network grid
    augmentations : sequence of Augmentation
        Transformations of the copies. At least one zoom must be 1 or less, because a larger zoom
        crops the edge of the picture.
    """
    total, seen = np.zeros_like(picture), np.zeros_like(picture)
    planes: list[float | None] = []
    for start in range(0, len(augmentations), BATCH_SIZE):
        some = augmentations[start : start + BATCH_SIZE]
        copies = np.stack([_alter(picture, augmentation) for augmentation in some])[:, None]
        for augmentation, answer in zip(some, run_network(copies), strict=True):
            total += _alter_back(answer.probability_map, augmentation)
            seen += _alter_back(np.ones_like(picture), augmentation)
            planes.append(answer.head_plane_probability)
    known = [each for each in planes if each is not None]
    return Prediction(total / seen, float(np.mean(known)) if known else None)


def _alter(picture: Array, augmentation: Augmentation) -> Array:
    is_mirrored, zoom = augmentation
    dark = float(picture.min())  # like the background around the scan's sector
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
