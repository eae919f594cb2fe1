"""Measure the cost of refusals on exams that were left out of the fit.

The verdicts come from five-fold cross-validation by exam, for several shares of clean images that
may be refused. Figures on the exams that a limit was chosen on would be too good. The network
itself was trained on the training exams in every fold.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.model_selection import GroupKFold
from tqdm import tqdm

from evaluation.accuracy_plots import DOTS_PER_INCH
from evaluation.uncertainty.cases import Case
from evaluation.uncertainty.fit import CLEAN_REFUSED_SHARE, choose_limits, fit_facts
from evaluation.uncertainty.summary import (
    LARGEST_CLEAN_REFUSED_SHARE,
    LOWEST_CAUGHT_SHARE,
    summarise_verdicts,
)
from headcirc.model.uncertainty_model import (
    UncertaintyLimits,
    UncertaintyModel,
    to_uncertainty_model,
)

FOLDS = 5
SHARES = (0.01, 0.02, CLEAN_REFUSED_SHARE, 0.06, 0.08, 0.10, 0.15, 0.20)
"""Shares of clean images that all limits together may refuse on the exams of the fit."""
FIGURES = {
    "large_errors_caught": "all errors over 5 % of HC on degraded pictures",
    "large_errors_brought_caught": "errors over 5 % of HC caused by the degradation",
}


def judge_left_out_exams(
    train: Sequence[Case], calibration: Sequence[Case]
) -> list[dict[str, Any]]:
    """Return the refusals on exams that were left out of the fit, for each of `SHARES`.

    Parameters
    ----------
    train, calibration : sequence of Case
        The arguments of `fit_facts`.

    Returns
    -------
    list of dict
        `chosen_share`, and shares with their counts: `clean_refused`, `calibration_clean_refused`
        (only exams that the network was not trained on), and the keys of `FIGURES`.
    """
    cases = [*train, *calibration]
    is_train = np.arange(len(cases)) < len(train)
    judged: dict[float, list[Case]] = {share: list(cases) for share in SHARES}
    folds = GroupKFold(FOLDS, shuffle=True, random_state=0)
    exams = [case.exam for case in cases]
    for fitted, left_out in tqdm(folds.split(cases, groups=exams), "folds", total=FOLDS):
        fit_cases = [cases[i] for i in fitted]
        facts = to_uncertainty_model(
            fit_facts(
                [cases[i] for i in fitted if is_train[i]],
                [cases[i] for i in fitted if not is_train[i]],
            )
        )
        for share, verdicts in judged.items():
            limits = UncertaintyLimits(**choose_limits(fit_cases, facts, clean_refused_share=share))
            for i in left_out:
                verdicts[i] = refuse(cases[i], replace(facts, limits=limits))
    return [_summarise(share, verdicts, is_train) for share, verdicts in judged.items()]


def refuse(case: Case, facts: UncertaintyModel) -> Case:
    """Return the case with the verdict of an uncertainty model; gross failures stay refused."""
    if case.features is None:
        return case
    is_sure = facts.large_error.weigh(case.features) <= facts.limits.large_error
    return replace(case, acceptable=case.acceptable and is_sure)


def _summarise(share: float, cases: Sequence[Case], is_train: np.ndarray) -> dict[str, Any]:
    unseen = [
        case for case, was_trained_on in zip(cases, is_train, strict=True) if not was_trained_on
    ]
    verdicts = summarise_verdicts(cases)
    return {
        "chosen_share": share,
        "clean_refused": verdicts["clean"]["refused"],
        "calibration_clean_refused": summarise_verdicts(unseen)["clean"]["refused"],
        "large_errors_caught": verdicts["suite"]["large_errors_caught"],
        "large_errors_brought_caught": verdicts["large_errors_brought_caught"],
    }


def plot_refusal_cost(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Plot the refused large errors against the refused clean images, with targets, as PNG."""
    figure = Figure((8.0, 5.0), layout="constrained")
    axes = figure.subplots()
    refused = [100 * row["clean_refused"]["share"] for row in rows]
    for key, label in FIGURES.items():
        axes.plot(refused, [100 * row[key]["share"] for row in rows], marker="o", label=label)
    target = [0, 100 * LARGEST_CLEAN_REFUSED_SHARE], 100 * LOWEST_CAUGHT_SHARE, 100
    axes.fill_between(*target, color="0.85", linewidth=0, zorder=0, label="target")
    axes.set_xlabel("clean images refused, %")
    axes.set_ylabel("large errors refused, %")
    axes.set_xlim(left=0)
    axes.set_ylim(0, 102)
    axes.set_title("Cost of refusals on exams left out of the fit")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=DOTS_PER_INCH)
