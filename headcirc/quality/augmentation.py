"""Apply test-time augmentation where the network is uncertain.

The network runs again on two copies of the image, one smaller and one larger and mirrored, and the
results are averaged. Whether that helps depends on the network: it did up to version 2.3.0, and the
manifest of the half-time network switches it off (`python -m evaluation.augmentation`).
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.model.manifest import Manifest, MaskFacts
from headcirc.model.prediction import Prediction

Array = NDArray[np.float32]
RunNetwork = Callable[[Array], Sequence[Prediction]]
"""Maps (n, 1, h, w) network inputs to n predictions."""
Augmentation = tuple[bool, float]
"""Whether the picture is mirrored left to right, and its zoom about the centre."""
AUGMENTATIONS: tuple[Augmentation, ...] = ((False, 0.8), (True, 1.1))


def infer_with_augmentation(
    run_network: RunNetwork, network_input: Array, manifest: Manifest
) -> list[Prediction]:
    """Run the network, and run it again with augmentation where it is uncertain.

    Parameters
    ----------
    run_network : callable
        See `RunNetwork`.
    network_input : (n, 1, h, w) float32, network grid
    manifest : Manifest
        Its limits decide which pictures are augmented.

    Returns
    -------
    list of Prediction
        One for each picture. The head-plane probability is that of the first inference.
    """
    predictions = []
    for first, (picture,) in zip(run_network(network_input), network_input, strict=True):
        prediction = first
        if needs_augmentation(first, manifest):
            averaged = average_copies(run_network, picture)
            prediction = Prediction(averaged, first.head_plane_probability)
        predictions.append(prediction)
    return predictions


def needs_augmentation(first: Prediction, manifest: Manifest) -> bool:
    """Return whether the first inference found a head with a low mean probability.

    A plane that surely shows no head is not measured, so it is not augmented either.
    """
    head_plane = manifest.head_plane
    if head_plane is not None and head_plane.excludes_head(first.head_plane_probability):
        return False
    return _is_unsure(first.probability_map, manifest.mask)


def _is_unsure(probability_map: Array, facts: MaskFacts) -> bool:
    """Return whether the pixels above the threshold in (h, w) have a low mean probability."""
    head = probability_map > facts.threshold
    area_px = np.count_nonzero(head)  # of bool: ten times as fast as of float32
    # A product and a sum in one pass: picking the pixels out would take four times as long.
    total = float(np.einsum("ij,ij->", probability_map, head.astype(np.float32)))
    return bool(area_px > 0 and total < facts.sure_mean_probability * area_px)


def average_copies(
    run_network: RunNetwork,
    picture: Array,
    augmentations: Sequence[Augmentation] = AUGMENTATIONS,
) -> Array:
    """Return the mean probability map over augmented copies of a picture, run as one batch.

    A copy contributes only to the pixels that it contains.

    Parameters
    ----------
    run_network : callable
        See `RunNetwork`.
    picture : (h, w) float32, network grid
    augmentations : sequence of Augmentation
        Transformations of the copies. At least one zoom must be 1 or less, because a larger zoom
        crops the edge of the picture.

    Returns
    -------
    (h, w) float32, network grid
    """
    total, seen = np.zeros_like(picture), np.zeros_like(picture)
    copies = np.stack([_alter(picture, augmentation) for augmentation in augmentations])[:, None]
    for augmentation, answer in zip(augmentations, run_network(copies), strict=True):
        total += _alter_back(answer.probability_map, augmentation)
        seen += _alter_back(np.ones_like(picture), augmentation)
    return total / seen


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
