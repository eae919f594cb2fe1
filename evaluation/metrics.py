"""Compute metrics of masks and circumferences, with bootstrap intervals.

All functions are pure functions of arrays on the frame's grid. The bootstrap resamples exams, not
images, because images of one exam are alike. A value that could not be measured is None; it is
excluded from the statistic and counted.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from headcirc.geometry import PixelSpacing

BoolMask = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
Statistic = Callable[[FloatArray], float]

BIN_EDGES_MM = (0.0, 100.0, 150.0, 200.0, 250.0, 300.0, math.inf)
"""Bands of true head circumference; a band includes its lower edge and excludes its upper edge."""
LIMITS_OF_AGREEMENT_SD = 1.96
"""Half width of the limits of agreement (Bland and Altman 1986), in standard deviations."""
RESAMPLES = 2000
SEED = 20_261_123
INTERVAL_LEVEL = 0.95


@dataclass(frozen=True)
class Confusion:
    """Pixel counts of one frame by prediction and truth; head is the positive class."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def dice(self) -> float:
        """Return twice the overlap divided by the sum of both areas; 0 if both are empty."""
        both = 2 * self.true_positive + self.false_positive + self.false_negative
        return 2 * self.true_positive / both if both else 0.0

    @property
    def iou(self) -> float:
        """Return the overlap divided by the union; 0 if both are empty."""
        union = self.true_positive + self.false_positive + self.false_negative
        return self.true_positive / union if union else 0.0

    @property
    def precision(self) -> float | None:
        """Return the share of predicted pixels that are head; None without a predicted pixel."""
        predicted = self.true_positive + self.false_positive
        return self.true_positive / predicted if predicted else None

    @property
    def recall(self) -> float | None:
        """Return the share of head pixels that were predicted; None without a head."""
        actual = self.true_positive + self.false_negative
        return self.true_positive / actual if actual else None


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances between the edges of two masks."""

    hausdorff_mm: float
    hausdorff_95_mm: float
    average_mm: float


@dataclass(frozen=True)
class AreasUnderCurves:
    """Areas under the ROC curve and under the precision-recall curve (average precision)."""

    roc: float
    precision_recall: float


@dataclass(frozen=True)
class Estimate:
    """A statistic with its bootstrap interval over exams.

    Attributes
    ----------
    value : float or None
        None if too few images were measured.
    low, high : float or None
        None also if no interval was computed.
    n, exams : int
        Number of measured images, and of their exams.
    excluded : int
        Number of images on which the figure could not be measured.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    exams: int
    excluded: int


@dataclass(frozen=True)
class ErrorBin:
    """Errors of the heads whose true circumference is in [low_mm, high_mm).

    `high_mm` is None for the last band, which has no upper edge.
    """

    low_mm: float
    high_mm: float | None
    images: int
    errors: dict[str, Estimate]


def count_confusion(predicted: BoolMask, truth: BoolMask) -> Confusion:
    """Count the pixels of two (rows, columns) masks.

    Raises
    ------
    ValueError
        The masks have different shapes.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"The masks have different shapes: {predicted.shape} and {truth.shape}.")
    pairs = (predicted & truth, predicted & ~truth, ~predicted & truth, ~predicted & ~truth)
    return Confusion(*(int(np.count_nonzero(pixels)) for pixels in pairs))


def measure_surface_distances(
    predicted: BoolMask, truth: BoolMask, spacing: PixelSpacing
) -> SurfaceDistances | None:
    """Measure the distances between the edges of two (rows, columns) masks; None if one is empty.

    Notes
    -----
    The edge of a mask is its pixels that have a 4-neighbour outside the mask; pixels outside the
    frame count as outside. The Hausdorff distances are the larger of both directions (of their
    95th percentiles). The average is over the edge pixels of both masks.
    """
    if not predicted.any() or not truth.any():
        return None
    (window,) = ndimage.find_objects((predicted | truth).astype(np.uint8))
    edges = [
        mask[window] & ~ndimage.binary_erosion(mask[window], border_value=0)
        for mask in (predicted, truth)
    ]
    sampling = (spacing.row_mm, spacing.column_mm)
    distances_mm = [ndimage.distance_transform_edt(~edge, sampling=sampling) for edge in edges]
    directed_mm = [distances_mm[1][edges[0]], distances_mm[0][edges[1]]]
    return SurfaceDistances(
        hausdorff_mm=max(float(each.max()) for each in directed_mm),
        hausdorff_95_mm=max(float(np.percentile(each, 95)) for each in directed_mm),
        average_mm=float(np.concatenate(directed_mm).mean()),
    )


def measure_areas_under_curves(
    probabilities: NDArray[np.float32], truth: BoolMask
) -> AreasUnderCurves | None:
    """Measure how well a (rows, columns) probability map ranks the pixels of one frame.

    Return None if all pixels or no pixels are head. Most pixels are easy, so any usable network is
    near 1.
    """
    if truth.all() or not truth.any():
        return None
    labels, scores = truth.ravel(), probabilities.ravel()
    return AreasUnderCurves(
        float(roc_auc_score(labels, scores)), float(average_precision_score(labels, scores))
    )


def _to_standard_deviation(errors: FloatArray) -> float:
    return float(np.std(errors, ddof=1)) if errors.size > 1 else math.nan


def _to_limit(errors: FloatArray, side: int) -> float:
    return float(errors.mean()) + side * LIMITS_OF_AGREEMENT_SD * _to_standard_deviation(errors)


ERROR_STATISTICS: dict[str, Statistic] = {
    "mean_absolute_error_mm": lambda errors: float(np.abs(errors).mean()),
    "median_absolute_error_mm": lambda errors: float(np.median(np.abs(errors))),
    "bias_mm": lambda errors: float(errors.mean()),
    "standard_deviation_mm": _to_standard_deviation,
    "limit_of_agreement_low_mm": lambda errors: _to_limit(errors, -1),
    "limit_of_agreement_high_mm": lambda errors: _to_limit(errors, +1),
    "absolute_error_95th_percentile_mm": lambda errors: float(np.percentile(np.abs(errors), 95)),
}
"""Statistics of signed errors, measured minus true; the standard deviation divides by n - 1."""
WORST = "worst_absolute_error_mm"
"""The largest absolute error; it has no interval, because a maximum cannot be bootstrapped."""


def estimate(
    values: Sequence[float | None] | FloatArray,
    exams: Sequence[int] | NDArray[np.int64],
    statistic: Statistic = lambda values: float(values.mean()),
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Estimate:
    """Return a statistic of per-image values with its 95 % percentile bootstrap interval.

    Parameters
    ----------
    values : sequence of float or None
        One value per image; None and NaN are excluded and counted.
    exams : sequence of int
        The exam of each image. Exams are drawn with replacement, with all their images.
    statistic : callable, optional
        Function of a float64 array; the mean by default. It returns NaN for too few values.
    resamples, seed : int
        With 0 resamples there is no interval.
    """
    every, owners = np.array(values, np.float64), np.asarray(exams)
    measured = np.isfinite(every)
    kept, owners = every[measured], owners[measured]
    groups = [kept[owners == exam] for exam in np.unique(owners)]
    counts = (kept.size, len(groups), every.size - kept.size)
    value = statistic(kept) if groups else math.nan
    if math.isnan(value) or not resamples:
        return Estimate(None if math.isnan(value) else value, None, None, *counts)
    draws = np.random.default_rng(seed).integers(len(groups), size=(resamples, len(groups)))
    drawn = [statistic(np.concatenate([groups[i] for i in draw])) for draw in draws]
    tail = (1 - INTERVAL_LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(value, float(low), float(high), *counts)


def summarise_errors(
    errors_mm: Sequence[float | None] | FloatArray, exams: Sequence[int] | NDArray[np.int64]
) -> dict[str, Estimate]:
    """Return every statistic of the signed errors (measured minus true), by name."""
    summary = {
        name: estimate(errors_mm, exams, statistic) for name, statistic in ERROR_STATISTICS.items()
    }
    return summary | {
        WORST: estimate(errors_mm, exams, lambda each: float(np.abs(each).max()), resamples=0)
    }


def to_bin_members(true_hc_mm: Sequence[float]) -> list[NDArray[np.intp]]:
    """Return the indices of the images in each band of `BIN_EDGES_MM`."""
    bands = np.digitize(np.asarray(true_hc_mm, np.float64), BIN_EDGES_MM) - 1
    return [np.flatnonzero(bands == band) for band in range(len(BIN_EDGES_MM) - 1)]


def summarise_errors_by_bin(
    true_hc_mm: Sequence[float], errors_mm: Sequence[float | None], exams: Sequence[int]
) -> list[ErrorBin]:
    """Summarise the signed errors of each band of true head circumference, also of empty bands."""
    errors, owners = np.array(errors_mm, np.float64), np.asarray(exams)
    bins = []
    for band, members in enumerate(to_bin_members(true_hc_mm)):
        low, high = BIN_EDGES_MM[band : band + 2]
        summary = summarise_errors(errors[members], owners[members])
        bins.append(ErrorBin(low, None if math.isinf(high) else high, len(members), summary))
    return bins
