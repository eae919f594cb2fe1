from dataclasses import replace

import cv2
import numpy as np
import pytest

from evaluation.degradations import burn_in_marks
from evaluation.out_of_fold.case import CLEAN, MARKS, OTHER_DEVICE, to_errors_mm
from evaluation.out_of_fold.cases import (
    REFERENCE_MM,
    read_cases,
    to_assumed_spacing,
    to_cases,
    to_other_device_case,
    write_cases,
)
from evaluation.out_of_fold.fit import (
    NO_SCORE,
    UNLIMITED,
    fit_by_fold,
    fit_facts,
    judge_refusals,
    to_factor,
)
from evaluation.out_of_fold.scores import fit_error, fit_large_error, to_expected_mm
from evaluation.out_of_fold.verdicts import SHARES
from headcirc.geometry import to_ellipse_perimeter
from headcirc.model.uncertainty_model import to_uncertainty_model
from tests.evaluation.out_of_fold.drawn_cases import to_drawn_case, to_folds
from tests.support.synthetic import HEAD, draw_head, to_synthetic_pipeline
from training.data.hc18 import load_part
from training.data.planes import Plane


def write_plane(folder, ellipse):
    path = folder / "plane.png"
    cv2.imwrite(str(path), draw_head())
    return Plane("head/plane.png", "head", "Barcelona", "7", None, ellipse, path)


def test_head_of_another_device_counts_as_measured_without_error(tmp_path):
    """Its annotation is too inexact for an error; its assumed size is that of the reference."""
    plane = write_plane(tmp_path, HEAD)
    spacing = to_assumed_spacing(plane)
    axes_px = HEAD.semi_axis_major_px, HEAD.semi_axis_minor_px
    assert to_ellipse_perimeter(*axes_px) * spacing.column_mm == pytest.approx(REFERENCE_MM)
    case = to_other_device_case(to_synthetic_pipeline(), plane)
    assert (case.kind, case.exam, case.error_mm) == (OTHER_DEVICE, "7", 0)
    assert case.measured_mm == pytest.approx(REFERENCE_MM, rel=0.01)
    assert not case.is_degraded


@pytest.mark.parametrize("moved_px", [0, 150])
def test_head_whose_ellipse_overlaps_too_little_is_left_out(tmp_path, moved_px):
    """Nobody knows which of both ellipses is wrong. Without an annotation nothing is known."""
    plane = write_plane(tmp_path, replace(HEAD, center_x_px=HEAD.center_x_px - moved_px))
    assert (to_other_device_case(to_synthetic_pipeline(), plane) is None) == (moved_px > 0)
    bare = replace(plane, ellipse=None)
    assert to_other_device_case(to_synthetic_pipeline(), bare) is None


def test_marks_change_few_pixels_and_are_the_same_in_each_run():
    """Text and callipers are bright, cover little, and depend on the image's name only."""
    picture = draw_head() // 2
    marked = burn_in_marks(picture, HEAD, "010_HC.png")
    changed = marked != picture
    assert 0.0005 < changed.mean() < 0.05
    assert np.all(marked[changed] > picture[changed])
    assert np.array_equal(marked, burn_in_marks(picture, HEAD, "010_HC.png"))
    assert not np.array_equal(marked, burn_in_marks(picture, HEAD, "011_HC.png"))


def test_each_image_gives_a_clean_case_one_with_marks_and_one_of_each_degradation(hc18_dir):
    """All eight have the same truth; the clean one is first."""
    (image, *_) = load_part(hc18_dir, "train")
    cases = list(to_cases(to_synthetic_pipeline(), image))
    kinds = [case.kind for case in cases]
    assert kinds[:2] == [CLEAN, MARKS]
    assert len(set(kinds)) == len(kinds) == 8
    assert {case.true_mm for case in cases} == {image.head_circumference_mm}
    assert [case.is_degraded for case in cases] == [False, False] + 6 * [True]


def test_cases_survive_being_written(tmp_path):
    """What is read is what was written, folds and warnings included."""
    cases = to_folds(2)
    cases[1][0] = replace(cases[1][0], warnings=("low-contrast",), features=None)
    path, networks = tmp_path / "folds" / "cases.json", dict.fromkeys(cases, "a" * 64)
    write_cases(path, cases, networks)
    assert read_cases(path, networks) == cases


@pytest.mark.parametrize("networks", [{0: "a", 1: "b", 2: "other"}, {0: "a", 1: "b"}])
def test_cases_of_other_networks_are_refused(tmp_path, networks):
    """A student that was exported again, or a fold more or less, needs new cases."""
    cases = to_folds(2)
    with pytest.raises(FileNotFoundError, match="run `fit`"):
        read_cases(tmp_path / "cases.json", networks)
    write_cases(tmp_path / "cases.json", cases, {0: "a", 1: "b", 2: "c"})
    with pytest.raises(ValueError, match="other networks"):
        read_cases(tmp_path / "cases.json", networks)


def test_facts_of_a_fold_do_not_depend_on_its_own_cases():
    """Other errors in the left-out fold change nothing; in another fold they do."""
    cases = to_folds()
    spoiled = [replace(case, measured_mm=200 + 2 * case.error_mm) for case in cases[0]]
    before, after = fit_by_fold(cases), fit_by_fold({**cases, 0: spoiled})
    assert after[0] == before[0]
    assert after[1] != before[1]
    with pytest.raises(ValueError, match="too few"):
        fit_by_fold({0: cases[0], 1: cases[1]})


def test_intervals_of_left_out_folds_cover_nine_in_ten():
    """The factor of two folds holds for the third: neither score nor factor saw it."""
    covered, total = 0, 0
    for seed in range(12):
        cases = to_folds(seed=seed)
        facts = to_uncertainty_model(fit_facts({0: cases[0], 1: cases[1]}))
        for case in cases[2]:
            if case.is_clean:
                expected_mm = facts.to_expected_error_mm(case.features, case.measured_mm)
                covered += abs(case.error_mm) <= facts.interval.factor * expected_mm
                total += 1
    assert covered / total == pytest.approx(0.9, abs=0.04)


def test_no_ratio_of_the_factor_comes_from_a_score_that_saw_its_fold():
    """With features and errors that only one fold links, that fold's ratios stay large.

    In the first fold the errors are ten times as large, and one feature says so. A score fitted on
    it would know that and make the ratios as small as those of the others.
    """
    cases = to_folds()
    for case in cases[0]:
        case.features["unsure mask"] += 4
    wide = [replace(c, measured_mm=max(200 + 10 * c.error_mm, 20)) for c in cases[0]]
    factor = to_factor({**cases, 0: wide})
    seen = fit_error([case for each in ({**cases, 0: wide}).values() for case in each])
    rest = {"large_error": NO_SCORE, "interval": {"level": 0.9, "factor": 1.0}}
    model = to_uncertainty_model(seen | rest | {"limits": UNLIMITED})
    clean = [case for case in wide if case.is_clean]
    optimistic = np.quantile(np.abs(to_errors_mm(clean)) / to_expected_mm(clean, model), 0.9)
    assert factor > 1.5 * optimistic


def test_heads_of_other_devices_do_not_narrow_the_intervals():
    """Their error is unknown, not 0; they only teach the score what must not be refused."""
    cases = to_folds()
    others = [replace(case, kind=OTHER_DEVICE, measured_mm=200.0) for case in cases[0]]
    more = {**cases, 0: [*cases[0], *others]}
    assert to_factor(more) == to_factor(cases)
    assert fit_facts(more)["error"] == fit_facts(cases)["error"]


@pytest.mark.parametrize("kind", [MARKS, OTHER_DEVICE])
def test_pictures_that_must_be_accepted_teach_the_score_like_clean_ones(kind):
    """A feature of such pictures without large errors gets less weight towards refusal."""
    generator = np.random.default_rng(0)
    cases = [case for each in to_folds().values() for case in each]
    for case in cases:
        case.features["lost share"] = float(case.is_large and case.is_degraded)
    added = [to_drawn_case(generator, 900 + index, CLEAN) for index in range(200)]
    for case in added:
        case.features["lost share"] = 1.0
    added = [replace(case, kind=kind, measured_mm=200.0) for case in added]
    weights = [
        fit_large_error(each)["terms"]["lost share"]["weight"] for each in (cases, cases + added)
    ]
    assert weights[1] < 0.7 * weights[0]


def test_allowed_share_of_refusals_holds_on_left_out_folds():
    """A larger share of refused clean images catches more of the large errors."""
    rows = judge_refusals(to_folds(200))
    assert [row["chosen_share"] for row in rows] == list(SHARES)
    assert {row["clean_refused"]["of"] for row in rows} == {600}
    for row in rows:
        assert row["clean_refused"]["share"] == pytest.approx(row["chosen_share"], abs=0.05)
    caught = [row["large_errors_caught"]["share"] for row in rows]
    assert caught[-1] > caught[0] + 0.1
