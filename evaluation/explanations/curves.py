"""Deletion and insertion: how much what a map points at matters to the network.

Pixels leave the network's input in the map's order, highest first, or come into an empty one; the
score is the mean probability over the head that the network predicts of the whole picture. A good
map makes the score fall early and rise early. What is taken away becomes black, which is what
ultrasound shows where no echo comes back, so that no edge is brought in that a probe could not.

References
----------
Petsiuk 2018, RISE, arXiv 1806.07421.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import estimate

FloatMap = NDArray[np.float32]
Infer = Callable[[FloatMap], FloatMap]
Curves = dict[str, list[float]]
SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
"""Shares of the pixels that were taken away, or put in."""
KINDS = ("deletion", "insertion")
RANDOM, CENTRE, EDGE, PROBABILITY = "random", "centre", "edge", "probability"
BASELINES = {
    RANDOM: "noise in 16 x 16 cells, as smooth as the bottleneck's map",
    CENTRE: "the nearer to the middle of the picture, the higher",
    EDGE: "strength of the picture's own edges (Sobel, blurred)",
    PROBABILITY: "the network's own answer",
}
"""What a map has to beat to have said anything."""
RANDOM_CELLS = 16
EDGE_BLUR_PX = 3.0


def draw_baselines(
    network_input: FloatMap, probability_map: FloatMap, generator: np.random.Generator
) -> dict[str, FloatMap]:
    """Return the maps of `BASELINES`, each (h, w) float32, of one (h, w) network input."""
    rows, columns = network_input.shape
    cells = generator.random((RANDOM_CELLS, RANDOM_CELLS), np.float32)
    across = np.linspace(-1, 1, columns, dtype=np.float32)
    down = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    slopes = [cv2.Sobel(network_input, cv2.CV_32F, *order) for order in ((1, 0), (0, 1))]
    edges = cv2.GaussianBlur(np.hypot(*slopes), (0, 0), EDGE_BLUR_PX)
    return {
        RANDOM: cv2.resize(cells, (columns, rows), interpolation=cv2.INTER_LINEAR),
        CENTRE: -np.hypot(across, down),
        EDGE: np.asarray(edges),
        PROBABILITY: probability_map,
    }


def to_ranks(saliency_map: FloatMap, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return each pixel's place in (0, 1], the map's highest first; equal ones in random order."""
    values = saliency_map.ravel()
    order = np.lexsort((generator.random(values.size), -values))
    ranks = np.empty(values.size)
    ranks[order] = np.arange(1, values.size + 1) / values.size
    return ranks.reshape(saliency_map.shape)


def measure_curves(
    infer: Infer,
    network_input: FloatMap,
    head: NDArray[np.bool_],
    ranks: NDArray[np.float64],
    *,
    black: float,
) -> Curves:
    """Measure both curves of one map.

    Parameters
    ----------
    infer : callable
        (1, 1, h, w) to probabilities (1, h, w).
    network_input : (h, w) float32
    head : (h, w) bool
        Over which the probabilities are averaged.
    ranks : (h, w) float64
        By `to_ranks`.
    black : float
        The network input of a black pixel.

    Returns
    -------
    dict of list of float
        By `KINDS`, a score for each of `SHARES`.
    """

    def score(keep: NDArray[np.bool_]) -> float:
        altered = np.where(keep, network_input, np.float32(black))
        return float(infer(altered[None, None])[0][head].mean())

    whole, empty = score(np.ones_like(head)), score(np.zeros_like(head))
    inner = SHARES[1:-1]
    return {
        "deletion": [whole, *(score(ranks > share) for share in inner), empty],
        "insertion": [empty, *(score(ranks <= share) for share in inner), whole],
    }


def to_area(curve: Sequence[float]) -> float:
    """Return the area under a curve over the shares, by trapezoids."""
    return float(np.trapezoid(curve, SHARES))


def summarise_curves(
    measured: Sequence[Mapping[str, Curves]], exams: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """Return, by kind and map, the mean curve, the area under it and what it gains on `RANDOM`.

    Parameters
    ----------
    measured : sequence of mapping
        For each picture the map's name to its curves.
    exams : sequence of int
        Of each picture; intervals come from resampling exams.

    Returns
    -------
    dict
        `gain` is positive where the map beats noise: less area under deletion, more under
        insertion.
    """
    summary: dict[str, dict[str, Any]] = {}
    for kind in KINDS:
        sign = -1 if kind == "deletion" else 1
        noise = np.array([to_area(curves[RANDOM][kind]) for curves in measured])
        summary[kind] = {}
        for name in measured[0]:
            every = [curves[name][kind] for curves in measured]
            areas = np.array([to_area(curve) for curve in every])
            summary[kind][name] = {
                "curve": np.mean(every, axis=0).tolist(),
                "area": asdict(estimate(areas, exams)),
                "gain": asdict(estimate(sign * (areas - noise), exams)),
            }
    return summary
