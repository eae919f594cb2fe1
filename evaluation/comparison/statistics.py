"""Test paired differences between networks, with the exam as the unit.

Images of one exam are alike, so their differences are averaged first. All random draws have fixed
seeds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy import optimize, stats

from evaluation.metrics import FloatArray
from headcirc.agreement.estimates import INTERVAL_LEVEL, RESAMPLES, SEED

PERMUTATIONS = 9_999
SIGNIFICANCE = 0.05
POWER = 0.8
FEWEST_EXAMS = 3
SMALLEST_SHIFT = 1e-9
"""scipy's non-central F distribution is wrong at exactly 0."""


@dataclass(frozen=True)
class PairedTest:
    """The difference of one figure between two networks, second minus first.

    Attributes
    ----------
    first, second : str
        Names of the networks.
    exams : int
        Exams with an image that both networks have a value of.
    excluded : int
        The other exams.
    mean_difference, low, high : float
        Mean over the exams with its bootstrap interval.
    cohens_d, d_low, d_high : float
        Mean difference divided by the standard deviation of the differences, with its interval.
        All are 0 if no difference varies.
    wilcoxon_p, permutation_p : float
        Two-sided p values of Wilcoxon's signed-rank test and of the permutation test.
    wilcoxon_holm_p, permutation_holm_p : float
        The same after Holm's correction over all pairs; NaN before it.
    """

    first: str
    second: str
    exams: int
    excluded: int
    mean_difference: float
    low: float
    high: float
    cohens_d: float
    d_low: float
    d_high: float
    wilcoxon_p: float
    permutation_p: float
    wilcoxon_holm_p: float = math.nan
    permutation_holm_p: float = math.nan

    @property
    def is_significant(self) -> bool:
        """Return whether both corrected p values are below the level of significance."""
        return max(self.wilcoxon_holm_p, self.permutation_holm_p) < SIGNIFICANCE


def to_differences(
    first: Sequence[float | None], second: Sequence[float | None], exams: Sequence[int]
) -> tuple[FloatArray, int]:
    """Return the mean difference of each exam's images, and the number of exams without one.

    Only images with both values count, so that networks that answer different images of an exam are
    still compared on the same ones.

    Parameters
    ----------
    first, second : sequence of float or None
        Value of each image.
    exams : sequence of int
        Exam of each image.
    """
    groups: dict[int, list[float]] = {}
    for one, other, exam in zip(first, second, exams, strict=True):
        known = groups.setdefault(int(exam), [])
        if one is not None and other is not None:
            known.append(other - one)
    means = [float(np.mean(each)) for each in groups.values() if each]
    return np.array(means), len(groups) - len(means)


def to_cohens_d(differences: FloatArray) -> float:
    """Return the mean over the standard deviation of paired differences; 0 if they do not vary."""
    deviation = float(np.std(differences, ddof=1))
    return float(differences.mean()) / deviation if deviation > 0 else 0.0


def compare_pair(
    names: tuple[str, str],
    first: Sequence[float | None],
    second: Sequence[float | None],
    exams: Sequence[int],
) -> PairedTest:
    """Test the difference of one figure between two networks.

    Parameters
    ----------
    names : tuple of str
    first, second, exams : sequence
        As in `to_differences`.

    Raises
    ------
    ValueError
        Fewer than 3 exams have an image with both values.
    """
    differences, excluded = to_differences(first, second, exams)
    if differences.size < FEWEST_EXAMS:
        raise ValueError(f"{differences.size} exams have both values; give {FEWEST_EXAMS} or more.")
    generator = np.random.default_rng(SEED)
    draws = differences[generator.integers(differences.size, size=(RESAMPLES, differences.size))]
    tails = np.array([(1 - INTERVAL_LEVEL) / 2, (1 + INTERVAL_LEVEL) / 2])
    low, high = np.quantile(draws.mean(axis=1), tails)
    d_low, d_high = np.quantile([to_cohens_d(draw) for draw in draws], tails)
    wilcoxon_p = permutation_p = 1.0
    if np.any(differences):
        wilcoxon_p = float(stats.wilcoxon(differences).pvalue)
        permutation_p = float(
            stats.permutation_test(
                (differences,),
                lambda values, axis: np.mean(values, axis=axis),
                permutation_type="samples",  # changes the sign of each exam's difference
                vectorized=True,
                n_resamples=PERMUTATIONS,
                rng=np.random.default_rng(SEED),
            ).pvalue
        )
    return PairedTest(
        *names,
        exams=differences.size,
        excluded=excluded,
        mean_difference=float(differences.mean()),
        low=float(low),
        high=float(high),
        cohens_d=to_cohens_d(differences),
        d_low=float(d_low),
        d_high=float(d_high),
        wilcoxon_p=wilcoxon_p,
        permutation_p=permutation_p,
    )


def find_pairs(
    values: Mapping[str, Sequence[float | None]], exams: Sequence[int]
) -> list[tuple[str, str]]:
    """Return the pairs of networks that can be tested: 3 exams or more have both values."""
    return [
        (one, other)
        for one, other in combinations(values, 2)
        if to_differences(values[one], values[other], exams)[0].size >= FEWEST_EXAMS
    ]


def compare_all(
    values: Mapping[str, Sequence[float | None]], exams: Sequence[int]
) -> list[PairedTest]:
    """Test every pair of networks and correct the p values over the pairs.

    A pair with fewer than 3 exams in common is left out.

    Parameters
    ----------
    values : mapping of str to sequence of float or None
        Value of each image, by network.
    exams : sequence of int
        Exam of each image.
    """
    tests = [
        compare_pair((one, other), values[one], values[other], exams)
        for one, other in find_pairs(values, exams)
    ]
    wilcoxon = correct_holm([test.wilcoxon_p for test in tests])
    permutation = correct_holm([test.permutation_p for test in tests])
    corrected = zip(tests, wilcoxon, permutation, strict=True)
    return [
        PairedTest(**asdict(test) | {"wilcoxon_holm_p": one, "permutation_holm_p": other})
        for test, one, other in corrected
    ]


def correct_holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected by Holm's step-down method, in the same order.

    References
    ----------
    Holm 1979, Scandinavian Journal of Statistics 6:65-70.
    """
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    stepped = np.minimum(np.maximum.accumulate(factors * np.array(p_values)[order]), 1.0)
    corrected = np.empty(len(p_values))
    corrected[order] = stepped
    return [float(p) for p in corrected]


def to_power(effect: float, exams: int, level: float) -> float:
    """Return the power of the two-sided paired t test.

    Parameters
    ----------
    effect : float
        True mean difference in standard deviations of the differences.
    exams : int
    level : float
        Level of significance.
    """
    freedom = exams - 1
    critical = stats.t.ppf(1 - level / 2, freedom)
    # The square of t has an F distribution; scipy's non-central t fails far from its centre.
    return float(stats.ncf.sf(critical**2, 1, freedom, max(exams * effect**2, SMALLEST_SHIFT)))


def to_detectable_effect(exams: int, *, level: float = SIGNIFICANCE, power: float = POWER) -> float:
    """Return the smallest effect that the paired t test finds with the given power.

    For normal differences, Wilcoxon's test needs about 5 % more exams for the same power.
    """
    return float(optimize.brentq(lambda d: to_power(d, exams, level) - power, 1e-3, 10.0))


def describe_power(tests: Sequence[PairedTest], deviations: Sequence[float]) -> dict[str, Any]:
    """Return the smallest detectable mean difference of one figure, alone and by Holm's first step.

    The power is that of the paired t test, which the tests used here approach.

    Parameters
    ----------
    tests : sequence of PairedTest
        All pairs of one figure.
    deviations : sequence of float
        Standard deviation of the differences of each pair; the median is used.
    """
    exams = min(test.exams for test in tests)
    deviation = float(np.median(deviations))
    alone = to_detectable_effect(exams)
    strictest = to_detectable_effect(exams, level=SIGNIFICANCE / len(tests))
    return {
        "exams": exams,
        "pairs": len(tests),
        "power": POWER,
        "median_standard_deviation": deviation,
        "detectable_effect": alone,
        "detectable_difference": alone * deviation,
        "detectable_effect_holm": strictest,
        "detectable_difference_holm": strictest * deviation,
    }
