import json
from dataclasses import replace

import numpy as np
import pytest

from evaluation.uncertainty.cases import CLEAN, Case, collect
from evaluation.uncertainty.fit import (
    CLEAN_REFUSED_SHARE,
    choose_limits,
    fit_error,
    fit_facts,
    fit_large_error,
)
from evaluation.uncertainty.summary import judge, summarise_intervals, summarise_verdicts, to_share
from headcirc.model.uncertainty_model import to_uncertainty_model
from headcirc.pipeline import SHIPPED_MODEL_DIR
from headcirc.quality.uncertainty import EDGE_FEATURES, FEATURES, Interval
from tests.support.synthetic import to_synthetic_pipeline
from training.data.hc18 import load_part

KINDS = (CLEAN, "blur", "crop")


def to_cases(count, seed=0, kinds=KINDS):
    """Return cases whose error grows with one feature, `flatness`, and with no other."""
    generator = np.random.default_rng(seed)
    cases = []
    for index in range(count):
        for kind in kinds:
            features = dict(zip(FEATURES, generator.standard_normal(len(FEATURES)), strict=True))
            if kind != CLEAN:
                features["flatness"] += 2
            spread_mm = 1.5 * np.exp(0.7 * features["flatness"])
            error_mm = float(generator.normal(0, spread_mm))
            cases.append(
                Case(
                    name=f"{index}_HC.png",
                    exam=index // 2,
                    kind=kind,
                    severity=0.0,
                    true_mm=200.0,
                    measured_mm=200.0 + error_mm,
                    interval=None,
                    features=features,
                    acceptable=True,
                    warnings=(),
                )
            )
    return cases


def test_expected_error_follows_the_relevant_feature_with_weights_of_at_least_0():
    """The planted feature has the largest weight; no weight is negative."""
    terms = fit_error(to_cases(300))["error"]["terms"]
    assert set(terms) <= set(EDGE_FEATURES)
    assert max(terms, key=lambda feature: terms[feature]["weight"]) == "flatness"
    assert min(term["weight"] for term in terms.values()) >= 0


def test_score_for_large_errors_follows_errors_and_not_degradation():
    """A feature of all degraded pictures has no weight; one of those with large errors has."""
    cases = to_cases(300)
    for case in cases:
        case.features["lost share"] = 0.0 if case.is_clean else 1.0
        case.features["unseen share"] = 1.0 if case.is_large else 0.0
    terms = fit_large_error(cases)["terms"]
    assert terms["unseen share"]["weight"] > 5 * abs(terms["lost share"]["weight"])


def test_errors_between_good_and_large_teach_the_score_nothing():
    """Cases with an error of 3 to 5 % change no weight, whatever their features."""
    cases = to_cases(200)
    kept = [c for c in cases if c.is_clean or not 0.03 <= c.error_share <= 0.05]
    assert len(kept) < len(cases)
    assert fit_large_error(cases) == fit_large_error(kept)


def test_intervals_cover_new_exams_at_the_stated_level():
    """Nine in ten new exams are covered; intervals are wide if the uncertainty is large."""
    train, covered, total = to_cases(200, seed=1), 0, 0
    for seed in range(20):
        facts = to_uncertainty_model(fit_facts(train, to_cases(60, seed=100 + seed)))
        for case in to_cases(60, seed=1000 + seed, kinds=(CLEAN,)):
            expected_mm = facts.to_expected_error_mm(case.features, case.measured_mm)
            covered += abs(case.error_mm) <= facts.interval.factor * expected_mm
            total += 1
    assert covered / total == pytest.approx(0.9, abs=0.04)


def test_limits_refuse_few_clean_images_and_catch_large_errors():
    """The allowed share holds for all limits together, including gross failures."""
    cases = to_cases(400)
    facts = to_uncertainty_model(fit_facts(cases, to_cases(100, seed=3)))
    limits = choose_limits(cases, facts)
    refused = [facts.large_error.weigh(case.features) > limits["large_error"] for case in cases]
    clean = [is_refused for is_refused, case in zip(refused, cases, strict=True) if case.is_clean]
    spoiled = [
        hit for hit, case in zip(refused, cases, strict=True) if case.is_large and not case.is_clean
    ]
    assert np.mean(clean) <= CLEAN_REFUSED_SHARE
    assert np.mean(spoiled) > 0.3
    some_refused = [replace(case, acceptable=case.exam >= 10) for case in cases]  # 5 %, before it
    passed = [c for c in some_refused if c.is_clean and c.acceptable]
    none_left = choose_limits(some_refused, facts)["large_error"]
    assert none_left == max(facts.large_error.weigh(case.features) for case in passed)


def test_shares_have_exact_intervals():
    """90 of 100 has 82.4 to 95.1 % (Clopper-Pearson); the share of nothing is None."""
    share = to_share(90, 100)
    assert (share["low"], share["high"]) == pytest.approx((0.8238, 0.9510), abs=1e-4)
    assert to_share(0, 0)["share"] is None


def test_summaries_count_covered_and_refused_cases():
    """Two of three cases are covered; one of two large errors is refused."""
    case = to_cases(1)[0]
    interval = Interval(0.9, 195.0, 205.0)
    clean = [
        replace(case, measured_mm=200.0 + error, interval=interval, true_mm=true)
        for error, true in ((0.0, 200.0), (0.0, 204.0), (0.0, 206.0))
    ]
    spoiled = [
        replace(case, kind="blur", measured_mm=measured, acceptable=acceptable, interval=None)
        for measured, acceptable in ((212.0, False), (212.0, True), (201.0, False), (None, False))
    ]
    intervals = summarise_intervals([*clean, *spoiled], 5.0, 0.9)
    assert (intervals["coverage"]["count"], intervals["coverage"]["of"]) == (2, 3)
    assert intervals["mean_width_mm"] == 10
    assert intervals["constant"]["coverage"]["count"] == 2
    assert sum(band["of"] for band in intervals["bins"]) == 3
    suite = summarise_verdicts([*clean, *spoiled])["suite"]
    assert (suite["large_errors_caught"]["count"], suite["large_errors_caught"]["of"]) == (1, 2)
    assert (suite["others_refused"]["count"], suite["without_answer"]) == (1, 1)
    verdicts = summarise_verdicts([*clean, *spoiled])
    assert [check["met"] for check in judge(intervals, verdicts)] == [True, False, True]


def test_errors_count_as_caused_by_degradation_if_the_clean_error_is_small():
    """Two of three errors count; the image with a large clean error is excluded."""
    case = replace(to_cases(1)[0], true_mm=200.0, kind=CLEAN)
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


def test_facts_of_other_weights_are_refused(tmp_path):
    """Facts fitted with another graph are not recorded; facts of this graph are."""
    from headcirc.model.manifest import load_manifest
    from model_export.record import record_uncertainty

    manifest = json.loads((SHIPPED_MODEL_DIR / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    learned = {
        "command": "c",
        "date": "d",
        "data": {},
        "precision": "fp32",
        "model_sha256": manifest["graphs"]["fp32"]["sha256"],
        "facts": fit_facts(to_cases(60), to_cases(40, seed=2)),
    }
    path = tmp_path / "uncertainty.json"
    path.write_text(json.dumps(learned))
    record_uncertainty(tmp_path, path, tmp_path)
    read = load_manifest(tmp_path).uncertainty
    assert read == to_uncertainty_model(learned["facts"])
    path.write_text(json.dumps(learned | {"model_sha256": "0" * 64}))
    with pytest.raises(SystemExit, match="other weights"):
        record_uncertainty(tmp_path, path, tmp_path)


def test_each_image_gives_one_clean_case_and_one_of_each_kind(hc18_dir):
    """Each image gives seven cases with the same truth, the clean one first."""
    cases = collect(to_synthetic_pipeline(), load_part(hc18_dir, "train")[:2])
    assert len(cases) == 14
    assert cases[0].kind == CLEAN
    assert len({case.kind for case in cases[:7]}) == 7
    assert len({case.true_mm for case in cases[:7]}) == 1
