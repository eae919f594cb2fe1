"""Derive ROC, precision-recall and reliability from histograms of pixel probabilities.

A histogram has one row for pixels outside the head and one for pixels of the head. Histograms of
images can be added, so all curves can be drawn again from saved rows.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import BoolMask, FloatArray

BINS = 200
RELIABILITY_BINS = 10
Counts = NDArray[np.int64]


def count_probabilities(probabilities: NDArray[np.float32], truth: BoolMask) -> Counts:
    """Count the pixels of one frame by truth and probability, (2, BINS).

    Bin i has the probabilities from i / BINS up to, and without, (i + 1) / BINS; the last one has
    1, too.
    """
    bins = np.minimum((probabilities.ravel() * BINS).astype(np.int64), BINS - 1)
    flat = np.bincount(bins + BINS * truth.ravel(), minlength=2 * BINS)
    return flat.reshape(2, BINS)


def to_roc(counts: Counts) -> tuple[FloatArray, FloatArray]:
    """Return false and true positive rates for rising numbers of predicted pixels, from 0 to 1."""
    falling = np.cumsum(counts[:, ::-1], axis=1) / counts.sum(axis=1, keepdims=True)
    rates = np.concatenate((np.zeros((2, 1)), falling), axis=1)
    return rates[0], rates[1]


def to_precision_recall(counts: Counts) -> tuple[FloatArray, FloatArray]:
    """Return recall and precision for rising numbers of predicted pixels.

    Bins above the largest probability have no predicted pixel and are left out.
    """
    falling = np.cumsum(counts[:, ::-1], axis=1)
    predicted = falling.sum(axis=0)
    known = predicted > 0
    return falling[1, known] / counts[1].sum(), falling[1, known] / predicted[known]


def to_average_precision(recall: FloatArray, precision: FloatArray) -> float:
    """Return the area under a precision-recall curve without interpolation, as scikit-learn."""
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def to_area(x: FloatArray, y: FloatArray) -> float:
    """Return the area under a curve by the trapezoidal rule."""
    return float(np.trapezoid(y, x))


def to_reliability(counts: Counts) -> list[dict[str, float]]:
    """Return mean probability, share of head pixels and number of pixels of each of 10 bins.

    The mean probability uses the centres of the histogram's bins, so it is exact to half a bin
    (0.0025). Empty bins are left out.
    """
    centres = (np.arange(BINS) + 0.5) / BINS
    rows = []
    for members in np.split(np.arange(BINS), RELIABILITY_BINS):
        pixels = counts[:, members].sum(axis=0)
        total = int(pixels.sum())
        if total:
            mean = float((pixels * centres[members]).sum() / total)
            share = float(counts[1, members].sum() / total)
            rows.append({"probability": mean, "head_share": share, "pixels": total})
    return rows


def to_calibration_error(counts: Counts) -> float:
    """Return the expected calibration error: the mean gap of the reliability bins by pixels.

    References
    ----------
    Naeini, Cooper, Hauskrecht 2015, Obtaining well calibrated probabilities using Bayesian binning.
    """
    rows = to_reliability(counts)
    total = sum(row["pixels"] for row in rows)
    gaps = (row["pixels"] * abs(row["probability"] - row["head_share"]) for row in rows)
    return sum(gaps) / total


def describe_curves(counts: Counts) -> Mapping[str, Any]:
    """Return what a report says about pooled pixels: areas, calibration and reliability."""
    recall, precision = to_precision_recall(counts)
    return {
        "pooled_auc_roc": to_area(*to_roc(counts)),
        "pooled_auc_pr": to_average_precision(recall, precision),
        "calibration_error": to_calibration_error(counts),
        "reliability": to_reliability(counts),
    }
