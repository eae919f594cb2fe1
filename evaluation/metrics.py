"""Compute metrics of masks and circumferences, with bootstrap intervals.

All functions are pure functions of arrays on the frame's grid. The bootstrap resamples exams, not
images, because images of one exam are alike. A value that could not be measured is None; it is
excluded from the statistic and counted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import wilcoxon
from sklearn.metrics import average_precision_score, roc_auc_score

from headcirc.agreement.estimates import ERROR_STATISTICS, Estimate, estimate
from headcirc.geometry import PixelSpacing

BoolMask = NDArray[np.bool_]
FloatArray = NDArray[np.float64]

BIN_EDGES_MM = (0.0, 100.0, 150.0, 200.0, 250.0, 300.0, math.inf)
"""Bands of true head circumference; a band includes its lower edge and excludes its upper edge."""


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


WORST = "worst_absolute_error_mm"
"""The largest absolute error; it has no interval, because a maximum cannot be bootstrapped."""


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


def to_paired_p(errors_mm: FloatArray, first_mm: FloatArray) -> float | None:
    """Return Wilcoxon's p for the differences of the absolute errors; None if all are equal.

    Images without an answer from either model are excluded.
    """
    differences_mm = np.abs(errors_mm) - np.abs(first_mm)
    differences_mm = differences_mm[np.isfinite(differences_mm)]
    return float(wilcoxon(differences_mm).pvalue) if np.any(differences_mm) else None
