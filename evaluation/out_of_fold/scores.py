"""Fit the scores of the uncertainty model, and choose its limits.

The expected error is fitted to all answers, and the score for large errors to clean images,
degraded ones and pictures that must not be refused. `evaluation.out_of_fold.fit` chooses whose
answers these are.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear
from sklearn.linear_model import LogisticRegression

from evaluation.out_of_fold.case import Case, to_answered, to_errors_mm
from headcirc.model.uncertainty_model import (
    MAXIMUM_DEVIATIONS,
    REFERENCE_MM,
    UncertaintyModel,
)
from headcirc.quality.uncertainty import EDGE_FEATURES

FEW_FEATURES = ("lost share", "worst displacement", "flatness", "unsure mask")
"""Features of the expected error; the others add nothing."""
SMALLEST_ERROR_MM = 0.5
"""Added to each error before taking the logarithm."""
RIDGE = 20.0
INVERSE_PENALTY = 0.1
LARGE_ERRORS_WEIGHT, WELL_MEASURED_WEIGHT = 1.0, 0.5
"""Total weights of degraded pictures with large errors and of those that were measured well; clean
pictures have 1."""
WELL_MEASURED_SHARE = 0.03
"""Degraded pictures whose error lies between this and a large one teach the score nothing."""
CLEAN_REFUSED_SHARE = 0.04
"""Share of the clean images that all limits together may refuse, where they are fitted."""
WARNED_SHARE = 0.01
"""Share of those images that may get the warning about contrast, and the one about shadow."""
FloatArray = NDArray[np.float64]


def to_expected_mm(cases: Sequence[Case], facts: UncertaintyModel) -> FloatArray:
    """Return the expected errors of answered cases."""
    return np.array(
        [
            facts.to_expected_error_mm(case.features, case.measured_mm)
            for case in cases
            if case.features is not None
        ]
    )


def fit_error(cases: Sequence[Case]) -> dict[str, Any]:
    """Fit the logarithm of the error to a few features and to size, with weights of at least 0."""
    center, scale, standard = _standardise(cases, FEW_FEATURES)
    sizes = np.array([case.measured_mm for case in cases]) / REFERENCE_MM
    log_errors = np.log(np.abs(to_errors_mm(cases)) + SMALLEST_ERROR_MM)
    features = len(FEW_FEATURES)
    penalty = np.sqrt(RIDGE) * np.eye(features, features + 2)
    design = np.column_stack((standard, np.log(sizes), np.ones(len(cases))))
    targets = np.concatenate((log_errors, np.zeros(features)))
    bounds = (np.r_[np.zeros(features + 1), -np.inf], np.r_[np.full(features, np.inf), 1, np.inf])
    *weights, exponent, intercept = lsq_linear(np.vstack((design, penalty)), targets, bounds).x
    score = _to_score_facts(FEW_FEATURES, center, scale, weights=weights, intercept=intercept)
    return {"error": score, "size_exponent": float(exponent)}


def fit_large_error(cases: Sequence[Case]) -> dict[str, Any]:
    """Fit the log-odds of a large error with a logistic regression."""
    used = [
        c for c in cases if not c.is_degraded or c.is_large or c.error_share < WELL_MEASURED_SHARE
    ]
    center, scale, standard = _standardise(used, EDGE_FEATURES)
    is_large = np.array([case.is_large for case in used])
    groups = np.where(is_large, 2, [case.is_degraded for case in used])
    counts = np.maximum(np.bincount(groups, minlength=3), 1)
    totals = np.array([1.0, WELL_MEASURED_WEIGHT, LARGE_ERRORS_WEIGHT])
    sample_weight = len(used) * (totals / totals.sum() / counts)[groups]
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=5000)
    model.fit(standard, is_large, sample_weight=sample_weight)
    weights, intercept = model.coef_[0], float(model.intercept_[0])
    return _to_score_facts(EDGE_FEATURES, center, scale, weights=weights, intercept=intercept)


def _standardise(
    cases: Sequence[Case], features: Sequence[str]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the centre and scale of the clean cases, and all standardised values (n, features)."""
    values = np.array(
        [[case.features[feature] for feature in features] for case in cases if case.features]
    )
    clean = values[[case.is_clean for case in cases]]
    center, scale = clean.mean(axis=0), clean.std(axis=0)
    scale = np.maximum(scale, 0.05 * values.std(axis=0) + 1e-6)
    limited = np.clip((values - center) / scale, -MAXIMUM_DEVIATIONS, MAXIMUM_DEVIATIONS)
    return center, scale, limited


def _to_score_facts(
    features: Sequence[str],
    center: FloatArray,
    scale: FloatArray,
    *,
    weights: Sequence[float],
    intercept: float,
) -> dict[str, Any]:
    terms = {
        feature: {"center": float(middle), "scale": float(spread), "weight": float(weight)}
        for feature, middle, spread, weight in zip(features, center, scale, weights, strict=True)
    }
    return {"intercept": float(intercept), "terms": terms}


def choose_limits(
    cases: Sequence[Case],
    facts: UncertaintyModel,
    *,
    clean_refused_share: float = CLEAN_REFUSED_SHARE,
) -> dict[str, float]:
    """Choose the lowest limit with which at most `clean_refused_share` of the clean are refused.

    Clean images that gross failures refuse count, too.
    """
    clean = [case for case in to_answered(cases) if case.is_clean]
    scores = _map(clean, facts.large_error.weigh)
    passed = np.sort(scores[[case.acceptable for case in clean]])
    allowed = int(clean_refused_share * len(clean)) - (len(clean) - len(passed))
    limits = {"large_error": float(passed[-1 - max(allowed, 0)])}
    for name, feature in (("lack_of_contrast", "lack of contrast"), ("dark_share", "dark share")):
        limits[name] = float(np.quantile(_map(clean, itemgetter(feature)), 1 - WARNED_SHARE))
    return limits


def _map(cases: Sequence[Case], read: Callable[[dict[str, float]], float]) -> FloatArray:
    return np.array([read(case.features) for case in cases if case.features is not None])
