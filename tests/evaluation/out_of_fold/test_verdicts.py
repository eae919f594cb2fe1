from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from evaluation.out_of_fold.case import CLEAN
from evaluation.out_of_fold.fit import fit_facts, judge_refusals
from evaluation.out_of_fold.plots import plot_refusal_cost
from evaluation.out_of_fold.verdicts import refuse, summarise_verdicts, to_share
from headcirc.model.uncertainty_model import to_uncertainty_model
from tests.evaluation.out_of_fold.drawn_cases import join, to_folds


def test_shares_have_exact_intervals():
    """90 of 100 has 82.4 to 95.1 % (Clopper-Pearson); the share of nothing is None."""
    share = to_share(90, 100)
    assert (share["low"], share["high"]) == pytest.approx((0.8238, 0.9510), abs=1e-4)
    assert to_share(0, 0)["share"] is None


def test_refusals_count_large_errors_others_and_pictures_without_an_answer():
    """One of two large errors is refused, and one of one other; one picture has no answer."""
    clean = to_folds(1)[0][0]
    spoiled = [
        replace(clean, kind="blur", measured_mm=measured_mm, acceptable=acceptable)
        for measured_mm, acceptable in (
            (212.0, False),
            (212.0, True),
            (201.0, False),
            (None, False),
        )
    ]
    verdicts = summarise_verdicts([clean, *spoiled])
    suite = verdicts["suite"]
    assert (suite["large_errors_caught"]["count"], suite["large_errors_caught"]["of"]) == (1, 2)
    assert (suite["others_refused"]["count"], suite["others_refused"]["of"]) == (1, 1)
    assert (suite["refused"]["count"], suite["without_answer"]) == (3, 1)
    assert verdicts["clean"]["refused"]["count"] == 0


def test_errors_count_as_caused_by_degradation_if_the_clean_error_is_small():
    """Two of three errors count; the image with a large clean error is excluded."""
    case = to_folds(1)[0][0]
    clean = [
        replace(case, name="well", measured_mm=203.0),
        replace(case, name="badly", measured_mm=203.1),
        replace(case, name="not at all", measured_mm=None),
    ]
    spoiled = [
        replace(case, name=name, kind="blur", measured_mm=212.0, acceptable=acceptable)
        for name, acceptable in (
            ("well", False),
            ("well", True),
            ("well", False),
            ("badly", True),
            ("not at all", True),
        )
    ]
    brought = summarise_verdicts([*clean, *spoiled])["large_errors_brought_caught"]
    assert (brought["count"], brought["of"]) == (2, 3)


def test_verdicts_follow_the_limits():
    """A case above the limit is refused; refused and unanswered cases stay unchanged."""
    folds = to_folds()
    facts = to_uncertainty_model(fit_facts(folds))
    case = next(c for c in join(folds) if c.kind == CLEAN)
    score = facts.large_error.weigh(case.features)

    def judge(case, limit):
        limits = replace(facts.limits, large_error=limit)
        return refuse(case, replace(facts, limits=limits)).acceptable

    assert judge(case, score)
    assert not judge(case, np.nextafter(score, -np.inf))
    assert not judge(replace(case, acceptable=False), score)
    unanswered = replace(case, measured_mm=None, features=None, acceptable=False)
    assert refuse(unanswered, facts) == unanswered


def test_refusal_cost_is_plotted(tmp_path):
    """The plot has the expected size and more than one colour."""
    plot_refusal_cost(judge_refusals(to_folds()), tmp_path / "cost.png")
    with Image.open(tmp_path / "cost.png") as picture:
        assert picture.size == (1200, 750)
        assert len(picture.convert("RGB").getcolors(maxcolors=1_000_000)) > 10
