from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from evaluation.uncertainty.cases import CLEAN
from evaluation.uncertainty.fit import fit_facts
from evaluation.uncertainty.folds import SHARES, judge_left_out_exams, plot_refusal_cost, refuse
from headcirc.model.uncertainty_model import to_uncertainty_model
from tests.evaluation.uncertainty.test_fit import to_cases


@pytest.fixture(scope="module")
def rows():
    """Return what folds say of drawn cases, of exams that the two parts do not share."""
    train = to_cases(300)
    calibration = [replace(case, exam=case.exam + 1000) for case in to_cases(100, seed=1)]
    return judge_left_out_exams(train, calibration)


def test_every_picture_is_judged_once(rows):
    """Counts are of all clean images, whatever the share, and of calibration's own."""
    assert [row["chosen_share"] for row in rows] == list(SHARES)
    assert {row["clean_refused"]["of"] for row in rows} == {400}
    assert {row["calibration_clean_refused"]["of"] for row in rows} == {100}
    assert len({row["large_errors_caught"]["of"] for row in rows}) == 1


def test_what_is_refused_elsewhere_is_about_what_was_allowed(rows):
    """Drawn exams are alike; and who may refuse more catches more."""
    for row in rows:
        assert row["clean_refused"]["share"] == pytest.approx(row["chosen_share"], abs=0.05)
    caught = [row["large_errors_caught"]["share"] for row in rows]
    assert caught[-1] > caught[0] + 0.2


def test_no_exam_is_judged_by_what_was_learned_on_it():
    """Each fold's facts come from other exams than those that they are held against."""
    seen = []

    def remember(train, calibration):
        seen.append({case.exam for case in (*train, *calibration)})
        return fit_facts(train, calibration)

    judged = []

    def judge(case, facts):
        judged.append((len(seen), case.exam))
        return refuse(case, facts)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("evaluation.uncertainty.folds.fit_facts", remember)
        patched.setattr("evaluation.uncertainty.folds.refuse", judge)
        train, calibration = to_cases(60), to_cases(60, seed=1)
        judge_left_out_exams(train, [replace(case, exam=case.exam + 1000) for case in calibration])
    assert len(seen) == 5
    assert all(exam not in seen[fold - 1] for fold, exam in judged)


def test_verdicts_follow_the_limits():
    """Above either limit is refused; what was refused before stays so; no answer has no verdict."""
    cases = to_cases(100)
    facts = to_uncertainty_model(fit_facts(cases, to_cases(100, seed=3)))
    case = next(c for c in cases if c.kind == CLEAN)
    expected_mm = facts.to_expected_error_mm(case.features, case.measured_mm)
    out_of_distribution = facts.out_of_distribution.weigh(case.features)

    def judge(case, **limits):
        return refuse(case, replace(facts, limits=replace(facts.limits, **limits))).acceptable

    at = {"expected_error_mm": expected_mm, "out_of_distribution": out_of_distribution}
    assert judge(case, **at)
    assert not judge(case, **at | {"expected_error_mm": np.nextafter(expected_mm, 0)})
    assert not judge(
        case, **at | {"out_of_distribution": np.nextafter(out_of_distribution, -np.inf)}
    )
    assert not judge(replace(case, acceptable=False), **at)
    unanswered = replace(case, measured_mm=None, features=None, acceptable=False)
    assert refuse(unanswered, facts) == unanswered


def test_refusal_cost_is_plotted(rows, tmp_path):
    """A picture of the size that was asked for, with more than one colour."""
    plot_refusal_cost(rows, tmp_path / "cost.png")
    with Image.open(tmp_path / "cost.png") as picture:
        assert picture.size == (1200, 750)
        assert len(picture.convert("RGB").getcolors(maxcolors=1_000_000)) > 10
