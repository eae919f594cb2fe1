"""Estimate statistics of errors, and shares, each with an interval.

The bootstrap resamples exams, not images, because images of one exam are alike. A value that could
not be measured is None; it is excluded from the statistic and counted. numpy suffices here, so that
every installation can evaluate its own images.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Statistic = Callable[[FloatArray], float]

LIMITS_OF_AGREEMENT_SD = 1.96
"""Half width of the limits of agreement (Bland and Altman 1986), in standard deviations."""
RESAMPLES = 2000
SEED = 20_261_123
INTERVAL_LEVEL = 0.95
INTERVAL_DEVIATES = 1.959964
"""Standard normal quantile that belongs to `INTERVAL_LEVEL`."""


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
class Share:
    """A count out of a total, with the interval of the share; None where the total is 0."""

    count: int
    total: int
    share: float | None
    low: float | None
    high: float | None


def to_standard_deviation(errors: FloatArray) -> float:
    """Return the standard deviation that divides by n - 1; NaN for fewer than two values."""
    return float(np.std(errors, ddof=1)) if errors.size > 1 else math.nan


def _to_limit(errors: FloatArray, side: int) -> float:
    return float(errors.mean()) + side * LIMITS_OF_AGREEMENT_SD * to_standard_deviation(errors)


ERROR_STATISTICS: dict[str, Statistic] = {
    "mean_absolute_error_mm": lambda errors: float(np.abs(errors).mean()),
    "median_absolute_error_mm": lambda errors: float(np.median(np.abs(errors))),
    "bias_mm": lambda errors: float(errors.mean()),
    "standard_deviation_mm": to_standard_deviation,
    "limit_of_agreement_low_mm": lambda errors: _to_limit(errors, -1),
    "limit_of_agreement_high_mm": lambda errors: _to_limit(errors, +1),
    "absolute_error_95th_percentile_mm": lambda errors: float(np.percentile(np.abs(errors), 95)),
}
"""Statistics of signed errors, measured minus true; the standard deviation divides by n - 1."""


def estimate(
    values: Sequence[float | None] | FloatArray,
    exams: Sequence[Hashable] | NDArray[Any],
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
    exams : sequence
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
    if len(groups) == kept.size:  # one image for each exam: ten times as fast
        single = np.concatenate(groups)
        drawn = [statistic(single[draw]) for draw in draws]
    else:
        drawn = [statistic(np.concatenate([groups[i] for i in draw])) for draw in draws]
    tail = (1 - INTERVAL_LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(value, float(low), float(high), *counts)


def to_share(count: int, total: int) -> Share:
    """Return a share with its 95 % interval.

    References
    ----------
    Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    if total == 0:
        return Share(0, 0, None, None, None)
    share, squared = count / total, INTERVAL_DEVIATES**2
    center = (share + squared / (2 * total)) / (1 + squared / total)
    spread = math.sqrt(share * (1 - share) / total + squared / (4 * total**2))
    half = INTERVAL_DEVIATES * spread / (1 + squared / total)
    return Share(count, total, share, max(center - half, 0.0), min(center + half, 1.0))


def to_conformal_quantile(
    scores: Sequence[float] | FloatArray, exams: Sequence[Hashable] | NDArray[Any], level: float
) -> float:
    """Return the score that an image of a new exam stays below with probability `level`.

    All exams have the same weight, which their images share, and the weight of one more exam is at
    infinity. The method assumes that exams, not images, are exchangeable.

    Raises
    ------
    ValueError
        There are too few exams for the level.

    References
    ----------
    Lee, Barber, Willett 2023, "Distribution-free inference with hierarchical data",
    arXiv 2306.06342.
    """
    _, exam_index, images = np.unique(np.asarray(exams), return_inverse=True, return_counts=True)
    weights = 1 / images[exam_index] / (len(images) + 1)
    order = np.argsort(scores)
    reached = np.flatnonzero(np.cumsum(weights[order]) >= level - 1e-12)
    if len(reached) == 0:
        raise ValueError(f"{len(images)} exams are too few for a level of {level}. Use more exams.")
    return float(np.asarray(scores)[order][reached[0]])
