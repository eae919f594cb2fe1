"""Measure deletion and insertion curves of a saliency map.

Deletion removes pixels from the network's input in the order of the map, highest first. Insertion
adds them to a black input in the same order. The score is the mean probability over the head that
the network predicts in the whole picture. With a good map, the score falls early under deletion
and rises early under insertion. Removed pixels become black, as where ultrasound returns no echo.

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

from headcirc.agreement.estimates import estimate

FloatMap = NDArray[np.float32]
Infer = Callable[[FloatMap], Sequence[FloatMap]]
Curves = dict[str, list[float]]
SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
"""Shares of the pixels that are removed or added."""
KINDS = ("deletion", "insertion")
RANDOM, CENTRE, EDGE, PROBABILITY = "random", "centre", "edge", "probability"
BASELINES = {
    RANDOM: "noise in 8 x 8 cells, as smooth as the bottleneck's map",
    CENTRE: "closeness to the middle of the picture",
    EDGE: "strength of the edges in the picture (Sobel, blurred)",
    PROBABILITY: "the network's probability map",
}
"""Maps that a useful map must be better than."""
RANDOM_CELLS = 8
EDGE_BLUR_PX = 3.0


def draw_baselines(
    network_input: FloatMap, probability_map: FloatMap, generator: np.random.Generator
) -> dict[str, FloatMap]:
    """Return the maps of `BASELINES`, each (h, w) float32, for one (h, w) network input."""
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
    """Return the rank of each pixel in (0, 1], highest value first; ties are in random order."""
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
        Maps a network input (1, 1, h, w) to one (h, w) map of probabilities.
    network_input : (h, w) float32
    head : (h, w) bool
        The pixels over which the probabilities are averaged.
    ranks : (h, w) float64
        From `to_ranks`.
    black : float
        The network's input value for a black pixel.

    Returns
    -------
    dict of list of float
        For each of `KINDS`, a score for each of `SHARES`.
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
    """Return the area under a curve over `SHARES`, by the trapezoidal rule."""
    return float(np.trapezoid(curve, SHARES))


def summarise_curves(
    measured: Sequence[Mapping[str, Curves]], exams: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """Return the mean curve, its area and its gain over `RANDOM`, by kind and map.

    Parameters
    ----------
    measured : sequence of mapping
        For each image, the curves by the name of the map.
    exams : sequence of int
        The exam of each image; the intervals come from resampling exams.

    Returns
    -------
    dict
        `gain` is positive if the map is better than noise: a smaller area under deletion, a larger
        one under insertion.
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
