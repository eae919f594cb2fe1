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
    """Return the result for drawn cases; the two parts share no exam."""
    train = to_cases(300)
    calibration = [replace(case, exam=case.exam + 1000) for case in to_cases(100, seed=1)]
    return judge_left_out_exams(train, calibration)


def test_every_picture_is_judged_once(rows):
    """Every share counts all clean images, and those of the calibration part."""
    assert [row["chosen_share"] for row in rows] == list(SHARES)
    assert {row["clean_refused"]["of"] for row in rows} == {400}
    assert {row["calibration_clean_refused"]["of"] for row in rows} == {100}
    assert len({row["large_errors_caught"]["of"] for row in rows}) == 1


def test_left_out_exams_are_refused_about_as_often_as_allowed(rows):
    """All drawn exams are alike; a larger allowed share catches more errors."""
    for row in rows:
        assert row["clean_refused"]["share"] == pytest.approx(row["chosen_share"], abs=0.05)
    caught = [row["large_errors_caught"]["share"] for row in rows]
    assert caught[-1] > caught[0] + 0.2


def test_no_exam_is_judged_by_a_model_fitted_on_it():
    """The facts of each fold come from other exams than the judged ones."""
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
    """A case above the limit is refused; refused and unanswered cases stay unchanged."""
    cases = to_cases(100)
    facts = to_uncertainty_model(fit_facts(cases, to_cases(100, seed=3)))
    case = next(c for c in cases if c.kind == CLEAN)
    score = facts.large_error.weigh(case.features)

    def judge(case, limit):
        limits = replace(facts.limits, large_error=limit)
        return refuse(case, replace(facts, limits=limits)).acceptable

    assert judge(case, score)
    assert not judge(case, np.nextafter(score, -np.inf))
    assert not judge(replace(case, acceptable=False), score)
    unanswered = replace(case, measured_mm=None, features=None, acceptable=False)
    assert refuse(unanswered, facts) == unanswered


def test_refusal_cost_is_plotted(rows, tmp_path):
    """The plot has the expected size and more than one colour."""
    plot_refusal_cost(rows, tmp_path / "cost.png")
    with Image.open(tmp_path / "cost.png") as picture:
        assert picture.size == (1200, 750)
        assert len(picture.convert("RGB").getcolors(maxcolors=1_000_000)) > 10
