from dataclasses import replace

import numpy as np

from evaluation.out_of_fold.fit import fit_facts
from evaluation.out_of_fold.scores import (
    CLEAN_REFUSED_SHARE,
    choose_limits,
    fit_error,
    fit_large_error,
)
from headcirc.model.uncertainty_model import to_uncertainty_model
from headcirc.quality.uncertainty import EDGE_FEATURES
from tests.evaluation.out_of_fold.drawn_cases import join, to_folds


def test_expected_error_follows_the_relevant_feature_with_weights_of_at_least_0():
    """The planted feature has the largest weight; no weight is negative."""
    terms = fit_error(join(to_folds(100)))["error"]["terms"]
    assert set(terms) <= set(EDGE_FEATURES)
    assert max(terms, key=lambda feature: terms[feature]["weight"]) == "flatness"
    assert min(term["weight"] for term in terms.values()) >= 0


def test_score_for_large_errors_follows_errors_and_not_degradation():
    """A feature of all degraded pictures has no weight; one of those with large errors has."""
    cases = join(to_folds(100))
    for case in cases:
        case.features["lost share"] = 0.0 if case.is_clean else 1.0
        case.features["unseen share"] = 1.0 if case.is_large else 0.0
    terms = fit_large_error(cases)["terms"]
    assert terms["unseen share"]["weight"] > 5 * abs(terms["lost share"]["weight"])


def test_errors_between_good_and_large_teach_the_score_nothing():
    """Cases with an error of 3 to 5 % change no weight, whatever their features."""
    cases = join(to_folds(70))
    kept = [c for c in cases if c.is_clean or not 0.03 <= c.error_share <= 0.05]
    assert len(kept) < len(cases)
    assert fit_large_error(cases) == fit_large_error(kept)


def test_limits_refuse_few_clean_images_and_catch_large_errors():
    """The allowed share holds for all limits together, including gross failures."""
    folds = to_folds(140)
    cases, facts = join(folds), to_uncertainty_model(fit_facts(folds))
    limits = choose_limits(cases, facts)
    refused = [facts.large_error.weigh(case.features) > limits["large_error"] for case in cases]
    clean = [is_refused for is_refused, case in zip(refused, cases, strict=True) if case.is_clean]
    spoiled = [
        hit for hit, case in zip(refused, cases, strict=True) if case.is_large and not case.is_clean
    ]
    assert np.mean(clean) <= CLEAN_REFUSED_SHARE
    assert np.mean(spoiled) > 0.3
    some_refused = [replace(case, acceptable=case.exam >= 21) for case in cases]  # 5 %
    passed = [c for c in some_refused if c.is_clean and c.acceptable]
    none_left = choose_limits(some_refused, facts)["large_error"]
    assert none_left == max(facts.large_error.weigh(case.features) for case in passed)
