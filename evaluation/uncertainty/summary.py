"""Summarise cases: the coverage of intervals, the refusals, and the targets.

All functions are pure. Proportions have exact (Clopper-Pearson) 95 % intervals.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.stats import binom, binomtest

from evaluation.accuracy_summary import to_bin_label
from evaluation.metrics import BIN_EDGES_MM, to_bin_members
from evaluation.uncertainty.cases import LARGE_ERROR_SHARE, Case, to_answered, to_errors_mm

LOWEST_CAUGHT_SHARE = 0.90
LARGEST_CLEAN_REFUSED_SHARE = 0.06
WELL_MEASURED_MM = 3.0
"""A large error counts as caused by the degradation if the clean image's error is at most this."""


def to_share(hits: int, total: int) -> dict[str, Any]:
    """Return a count, its share and the exact interval; the share of nothing is None."""
    if total == 0:
        return {"count": 0, "of": 0, "share": None, "low": None, "high": None}
    bounds = binomtest(hits, total).proportion_ci(0.95, method="exact")
    return {
        "count": hits,
        "of": total,
        "share": hits / total,
        "low": float(bounds.low),
        "high": float(bounds.high),
    }


def summarise_intervals(
    cases: Sequence[Case], constant_half_width_mm: float, level: float
) -> dict[str, Any]:
    """Return the coverage and width on clean cases, also for an interval of constant width."""
    clean = [case for case in to_answered(cases) if case.is_clean and case.interval]
    lows = np.array([case.interval.low_mm for case in clean if case.interval])
    highs = np.array([case.interval.high_mm for case in clean if case.interval])
    true_mm = np.array([case.true_mm for case in clean])
    covered = (lows <= true_mm) & (true_mm <= highs)
    fixed = np.abs(to_errors_mm(clean)) <= constant_half_width_mm
    expected = [float(count) for count in binom.interval(0.95, len(clean), level)]
    bins = []
    edges = pairwise(BIN_EDGES_MM)
    for (low, high), members in zip(edges, to_bin_members(true_mm), strict=True):
        band = {"low_mm": low, "high_mm": None if np.isinf(high) else high}
        share = to_share(int(covered[members].sum()), len(members))
        width = float((highs - lows)[members].mean()) if len(members) else None
        label = {"true_hc_mm": to_bin_label(band)}
        bins.append(label | share | {"mean_width_mm": width})
    return {
        "level": level,
        "coverage": to_share(int(covered.sum()), len(clean)),
        "expected_count_95": expected,
        "mean_width_mm": float((highs - lows).mean()),
        "median_width_mm": float(np.median(highs - lows)),
        "constant": {
            "coverage": to_share(int(fixed.sum()), len(clean)),
            "width_mm": 2 * constant_half_width_mm,
        },
        "bins": bins,
    }


def summarise_verdicts(cases: Sequence[Case]) -> dict[str, Any]:
    """Return the refusals on clean images, on degraded pictures, and by kind."""
    kinds = dict.fromkeys(case.kind for case in cases)
    return {
        "large_error_share": LARGE_ERROR_SHARE,
        "by_kind": {kind: _count([c for c in cases if c.kind == kind]) for kind in kinds},
        "clean": _count([case for case in cases if case.is_clean]),
        "suite": _count([case for case in cases if case.is_degraded]),
        "large_errors_brought_caught": count_caused_by_degradation(cases),
    }


def count_caused_by_degradation(cases: Sequence[Case]) -> dict[str, Any]:
    """Return how many of the large errors that a degradation caused are refused.

    An image whose clean picture has an error above `WELL_MEASURED_MM` is excluded: the error of its
    degraded copies says little about the degradation.
    """
    well_measured = {
        case.name
        for case in to_answered(cases)
        if case.is_clean and abs(case.error_mm) <= WELL_MEASURED_MM
    }
    caused = [c for c in cases if c.is_large and c.is_degraded and c.name in well_measured]
    return to_share(sum(not case.acceptable for case in caused), len(caused))


def _count(cases: Sequence[Case]) -> dict[str, Any]:
    large = [case for case in cases if case.is_large]
    small = [case for case in to_answered(cases) if not case.is_large]
    refused = [case for case in cases if not case.acceptable]
    return {
        "pictures": len(cases),
        "without_answer": sum(case.measured_mm is None for case in cases),
        "refused": to_share(len(refused), len(cases)),
        "large_errors_caught": to_share(sum(not c.acceptable for c in large), len(large)),
        "others_refused": to_share(sum(not c.acceptable for c in small), len(small)),
    }


def judge(intervals: Mapping[str, Any], verdicts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare the figures with the targets; a share of nothing meets no target."""
    low, high = intervals["expected_count_95"]
    covered = intervals["coverage"]["count"]
    caught = verdicts["suite"]["large_errors_caught"]["share"]
    refused = verdicts["clean"]["refused"]["share"]
    return [
        {
            "figure": "interval coverage, count",
            "value": covered,
            "target": f"{low:g} to {high:g}",
            "met": low <= covered <= high,
        },
        {
            "figure": "large errors on the suite that are refused",
            "value": caught,
            "target": f">= {LOWEST_CAUGHT_SHARE}",
            "met": caught is not None and caught >= LOWEST_CAUGHT_SHARE,
        },
        {
            "figure": "clean images that are refused",
            "value": refused,
            "target": f"<= {LARGEST_CLEAN_REFUSED_SHARE}",
            "met": refused is not None and refused <= LARGEST_CLEAN_REFUSED_SHARE,
        },
    ]
