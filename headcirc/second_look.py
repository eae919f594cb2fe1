"""Where the network is unsure of a picture it looks again, at the picture's mirror images.

A head's mirror image is as good a head, so that the four answers err differently and their mean
errs less. It takes three more inferences, hence is kept for the few pictures that need it.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
SURE_PROBABILITY = 0.95
"""Mean probability of the pixels that count as head, below which the network looks again; about
one in a hundred of HC18's training and calibration images is below."""
ROWS, COLUMNS = -2, -1
MIRRORS = ((COLUMNS,), (ROWS,), (ROWS, COLUMNS))


def infer_carefully(
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
    unsure = [i for i, each in enumerate(probability_maps) if _is_unsure(each, threshold)]
    if not unsure:
        return probability_maps
    averaged = probability_maps.copy()
    for i in unsure:
        mirrored = np.concatenate([np.flip(network_input[i : i + 1], axes) for axes in MIRRORS])
        answers = run_network(np.ascontiguousarray(mirrored))
        turned_back = [np.flip(answer, axes) for answer, axes in zip(answers, MIRRORS, strict=True)]
        averaged[i] = (probability_maps[i] + sum(turned_back)) / 4
    return averaged


def _is_unsure(probability_map: Array, threshold: float) -> bool:
    head = probability_map[probability_map > threshold]
    return bool(head.size > 0 and head.mean() < SURE_PROBABILITY)
