"""Fit the uncertainty model to out-of-fold answers.

Every answer is that of a network that never saw the exam. The scores and limits that judge a fold
are fitted without it, too, so that the published figures are out of fold in both stages. The model
that ships gets scores and limits of all folds.

The factor of the intervals is the conformal quantile of the errors divided by the expected errors,
where the expected error of each fold comes from a score that was fitted on the other folds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from evaluation.out_of_fold.case import OTHER_DEVICE, Case, to_answered, to_errors_mm
from evaluation.out_of_fold.scores import (
    choose_limits,
    fit_error,
    fit_large_error,
    to_expected_mm,
)
from evaluation.out_of_fold.verdicts import SHARES, refuse, summarise_verdicts
from headcirc.agreement.estimates import to_conformal_quantile
from headcirc.model.uncertainty_model import UncertaintyLimits, to_uncertainty_model

LEVEL = 0.9
"""Share of the intervals that should contain the annotated circumference."""
UNLIMITED = dict.fromkeys(("large_error", "lack_of_contrast", "dark_share"), np.inf)
NO_SCORE = {"intercept": 0.0, "terms": {}}
FEWEST_FOLDS = 3
"""Facts without one fold need two others: a score is fitted on one and its factor on the other."""
Cases = Mapping[int, Sequence[Case]]
"""The cases by fold."""


def fit_facts(cases: Cases) -> dict[str, Any]:
    """Return the content of the manifest's section `uncertainty`.

    Raises
    ------
    ValueError
        There are fewer than two folds, or a fold has no answer to a clean image.
    """
    if len(cases) < FEWEST_FOLDS - 1:
        raise ValueError(f"{len(cases)} folds are too few. Fit with at least {FEWEST_FOLDS - 1}.")
    for fold, each in cases.items():
        if not any(case.is_clean for case in to_answered(each)):
            raise ValueError(f"Fold {fold} has no answer to a clean image, so it cannot be fitted.")
    every = _join(cases)
    facts = _fit_error(every) | {
        "large_error": fit_large_error(to_answered(every)),
        "interval": {"level": LEVEL, "factor": to_factor(cases)},
        "limits": UNLIMITED,
    }
    return facts | {"limits": choose_limits(every, to_uncertainty_model(facts))}


def fit_by_fold(cases: Cases) -> dict[int, dict[str, Any]]:
    """Return, for each fold, the facts that were fitted without it.

    Raises
    ------
    ValueError
        There are fewer than three folds.
    """
    return {fold: fit_facts(_without(cases, fold)) for fold in cases}


def judge_refusals(cases: Cases) -> list[dict[str, Any]]:
    """Return what refusing costs, for each of several shares of clean images that may be refused.

    Each fold is judged by scores and limits that were fitted without it.

    Returns
    -------
    list of dict
        `chosen_share`, and shares with their counts: `clean_refused`, `large_errors_caught` and
        `large_errors_brought_caught`.

    Raises
    ------
    ValueError
        There are fewer than three folds.
    """
    judged: dict[float, list[Case]] = {share: [] for share in SHARES}
    for fold, facts in fit_by_fold(cases).items():
        model, fitted = to_uncertainty_model(facts), _join(_without(cases, fold))
        for share, verdicts in judged.items():
            limits = UncertaintyLimits(**choose_limits(fitted, model, clean_refused_share=share))
            verdicts += [refuse(case, replace(model, limits=limits)) for case in cases[fold]]
    return [_summarise(share, verdicts) for share, verdicts in judged.items()]


def _summarise(share: float, cases: Sequence[Case]) -> dict[str, Any]:
    verdicts = summarise_verdicts(cases)
    return {
        "chosen_share": share,
        "clean_refused": verdicts["clean"]["refused"],
        "large_errors_caught": verdicts["suite"]["large_errors_caught"],
        "large_errors_brought_caught": verdicts["large_errors_brought_caught"],
    }


def to_factor(cases: Cases) -> float:
    """Return half the width of an interval over the expected error.

    No ratio comes from a score that was fitted on its own fold.
    """
    ratios: list[float] = []
    exams: list[int | str] = []
    for fold, left_out in cases.items():
        rest = {"large_error": NO_SCORE, "interval": {"level": LEVEL, "factor": 1.0}}
        facts = to_uncertainty_model(
            _fit_error(_join(_without(cases, fold))) | rest | {"limits": UNLIMITED}
        )
        clean = [case for case in to_answered(left_out) if case.is_clean]
        ratios += (np.abs(to_errors_mm(clean)) / to_expected_mm(clean, facts)).tolist()
        exams += [case.exam for case in clean]
    return to_conformal_quantile(ratios, exams, LEVEL)


def _fit_error(cases: Sequence[Case]) -> dict[str, Any]:
    # Heads of other devices have no truth in millimetres.
    return fit_error([case for case in to_answered(cases) if case.kind != OTHER_DEVICE])


def _join(cases: Cases) -> list[Case]:
    return [case for each in cases.values() for case in each]


def _without(cases: Cases, fold: int) -> dict[int, Sequence[Case]]:
    return {each: found for each, found in cases.items() if each != fold}
