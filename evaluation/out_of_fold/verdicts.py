"""Refuse answers by an uncertainty model, and count the refusals.

All functions are pure. Proportions have exact (Clopper-Pearson) 95 % intervals.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scipy.stats import binomtest

from evaluation.out_of_fold.case import LARGE_ERROR_SHARE, Case, to_answered
from evaluation.out_of_fold.scores import CLEAN_REFUSED_SHARE
from headcirc.model.uncertainty_model import UncertaintyModel

SHARES = (0.01, 0.02, CLEAN_REFUSED_SHARE, 0.06, 0.08, 0.10, 0.15, 0.20)
"""Shares of clean images that all limits together may refuse on the exams of the fit."""
CAUGHT = {
    "large_errors_caught": "all errors over 5 % of HC on degraded pictures",
    "large_errors_brought_caught": "errors over 5 % of HC caused by the degradation",
}
"""The title of each share of large errors that are refused."""
LOWEST_CAUGHT_SHARE, LARGEST_CLEAN_REFUSED_SHARE = 0.90, 0.06
"""Targets for the refused share of large errors on degraded pictures and of clean images."""
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


def refuse(case: Case, facts: UncertaintyModel) -> Case:
    """Return the case with the verdict of an uncertainty model; gross failures stay refused."""
    if case.features is None:
        return case
    is_sure = facts.large_error.weigh(case.features) <= facts.limits.large_error
    return replace(case, acceptable=case.acceptable and is_sure)


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
