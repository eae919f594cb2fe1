from dataclasses import replace

import cv2
import numpy as np
import pytest

from evaluation.accuracy_summary import fill_ellipse, to_image_result
from evaluation.out_of_fold.__main__ import record_facts, write_heads, write_planes
from evaluation.out_of_fold.case import CLEAN, MARKS, Case
from evaluation.out_of_fold.measure import HeadResult, to_plane_result
from evaluation.out_of_fold.plots import (
    find_best_refused,
    find_worst_accepted,
    plot_verdicts,
)
from evaluation.out_of_fold.summary import (
    TARGETS,
    judge,
    summarise_coverage,
    summarise_degraded,
    summarise_heads,
    summarise_planes,
)
from evaluation.out_of_fold.text import to_annotated_lines, to_blocks, to_scope
from evaluation.out_of_fold.verdicts import to_share
from harness.served import ServedAnswer
from headcirc.geometry import Ellipse, to_ellipse_perimeter
from headcirc.model.uncertainty_model import (
    IntervalFacts,
    LinearScore,
    UncertaintyLimits,
    UncertaintyModel,
)
from training.data.hc18 import HC18Image
from training.data.planes import Plane

NO_SCORE = LinearScore(0.0, {})
ROWS, COLUMNS, SIZE_MM = 120, 160, 0.5
HEAD = Ellipse(80.0, 60.0, 50.0, 40.0, 0.4)
HEAD_MM = to_ellipse_perimeter(50.0, 40.0) * SIZE_MM
EMPTY = np.zeros((ROWS, COLUMNS), bool)


def to_head(number, *, error_mm=0.0, acceptable=True, half_mm=2.0):
    """Return the result of an image whose answer is wrong by `error_mm`, or None for no answer."""
    name = f"{number:03d}_HC.png"
    image = HC18Image(name, number, SIZE_MM, HEAD_MM, name, name)
    truth = fill_ellipse(HEAD, ROWS, COLUMNS)
    if error_mm is None:
        answer = ServedAnswer(None, None, EMPTY, ("no-head-found",), False)
        return HeadResult(0, to_image_result(image, truth, answer), None, None)
    measured_mm = HEAD_MM + error_mm
    answer = ServedAnswer(HEAD, measured_mm, truth, (), acceptable, 0.99)
    figures = to_image_result(image, truth, answer)
    return HeadResult(0, figures, measured_mm - half_mm, measured_mm + half_mm)


@pytest.fixture
def heads():
    """Return two good answers, one wrong by 8 %, a refused one wrong by 20 %, and no answer."""
    return [
        to_head(1),
        to_head(2, error_mm=1.0),
        to_head(3, error_mm=-0.08 * HEAD_MM),
        to_head(4, error_mm=0.2 * HEAD_MM, acceptable=False),
        to_head(5, error_mm=None),
    ]


def to_plane(folder, kind="head", ellipse=HEAD):
    path = folder / "plane.png"
    cv2.imwrite(str(path), np.zeros((ROWS, COLUMNS), np.uint8))
    return Plane(f"{kind}/plane.png", kind, "Barcelona", "7", None, ellipse, path)


def to_planes(folder):
    """Return two heads, one of them 4 % larger, and three abdomens: found, accepted, neither."""
    answer = ServedAnswer(HEAD, 180.0, EMPTY, (), True, 0.99, (175.0, 185.0))
    larger = replace(answer, head_circumference_mm=187.2, interval_mm=(182.0, 192.4))
    found = replace(answer, acceptable=False, warnings=("not-a-head-plane",))
    none = ServedAnswer(None, None, EMPTY, ("no-head-found",), False, 0.01)
    abdomen = to_plane(folder, "abdomen", None)
    return [
        *(to_plane_result(0, to_plane(folder), each) for each in (answer, larger)),
        *(to_plane_result(0, abdomen, each) for each in (found, answer, none)),
    ]


def test_errors_count_in_per_cent_of_the_circumference(heads):
    """Two of four answers are off by over 5 %; one of these is accepted."""
    summary = summarise_heads(heads)
    assert (summary["answered"]["count"], summary["acceptable"]["count"]) == (4, 3)
    counts = [summary[of][name]["count"] for of in ("all", "of_acceptable") for name in COUNTS]
    assert counts == [2, 2, 1, 2, 1, 0]
    mean_mm = summary["of_acceptable"]["figures"]["mean_absolute_error_mm"]["value"]
    assert mean_mm == pytest.approx((1 + 0.08 * HEAD_MM) / 3)
    assert summary["all"]["figures"]["ellipse_dice"]["value"] == pytest.approx(1.0)


COUNTS = ("within_3_percent", "over_5_percent", "over_10_percent")


def test_coverage_counts_answers_with_an_interval(heads):
    """Two of four true values lie in their interval; all four are in the band of their size."""
    coverage = summarise_coverage(heads)
    assert (coverage["coverage"]["count"], coverage["coverage"]["of"]) == (2, 4)
    assert coverage["coverage"]["low"] < 0.5 < coverage["coverage"]["high"]
    assert coverage["mean_width_mm"] == pytest.approx(4.0)
    assert [band["of"] for band in coverage["bins"] if band["of"]] == [4]


def test_heads_of_other_devices_are_compared_after_a_constant_offset(tmp_path):
    """The median ratio is 1.02, so both heads are off by 2 %, and both intervals hold."""
    heads = summarise_planes(to_planes(tmp_path))["annotated_heads"]
    assert (heads["annotated"], heads["found"]) == (2, 2)
    assert heads["offset"] == pytest.approx(1.02)
    assert heads["mean_absolute_error_share"] == pytest.approx(0.02 / 1.02)
    assert heads["interval_coverage"]["count"] == 2


def test_annotated_heads_that_were_not_found_have_no_figures(tmp_path):
    """Nothing is divided by their number, and the page has no sentence on them."""
    none = ServedAnswer(None, None, EMPTY, ("no-head-found",), False, 0.01)
    heads = summarise_planes([to_plane_result(0, to_plane(tmp_path), none)])["annotated_heads"]
    assert heads == {"annotated": 1, "found": 0}
    assert to_annotated_lines(heads) == []


def test_planes_without_a_head_are_counted_by_kind_and_together(tmp_path):
    """Two of three abdomens are found and one is accepted."""
    summary = summarise_planes(to_planes(tmp_path))
    abdomens, together = summary["kinds"]["abdomen"], summary["other_planes"]
    for each in (abdomens, together):
        assert (each["found"]["count"], each["acceptable"]["count"]) == (2, 1)
    assert summary["kinds"]["femur"]["found"]["share"] is None


def test_every_target_has_a_value_and_missing_figures_miss_it(heads, tmp_path):
    """The verdicts follow the figures; without femurs and thoraxes the planes still count."""
    degraded = {
        "suite": {"large_errors_caught": {"share": None}},
        "clean": {"refused": {"share": 0.06}},
    }
    planes = summarise_planes(to_planes(tmp_path))
    verdicts = judge(summarise_heads(heads), summarise_coverage(heads), planes, degraded)
    assert [each["figure"] for each in verdicts] == [target.figure for target in TARGETS]
    met = {each["figure"]: each["met"] for each in verdicts}
    assert met["other_heads_acceptable"]
    assert not met["degraded_large_errors_refused"]
    assert not met["other_planes_acceptable"]
    values = {each["figure"]: each["value"] for each in verdicts}
    assert values["answered_ellipse_dice"] == pytest.approx(1.0)
    assert values["hc18_answered"] == pytest.approx(0.8)


def test_tables_have_a_row_for_each_image(heads, tmp_path):
    """A missing figure is an empty field."""
    write_heads(tmp_path / "heads.csv", heads)
    write_planes(tmp_path / "planes.csv", to_planes(tmp_path))
    lines = (tmp_path / "heads.csv").read_text().splitlines()
    assert lines[0].startswith("fold,name,exam,true_hc_mm,")
    assert lines[0].endswith("interval_low_mm,interval_high_mm")
    assert len(lines) == 6
    assert lines[-1].endswith(",,")
    assert len((tmp_path / "planes.csv").read_text().splitlines()) == 6


def test_facts_replace_those_of_a_manifest(tmp_path):
    """The rest of the manifest stays."""
    (tmp_path / "manifest.json").write_text('{"name": "tiny", "uncertainty": 1}')
    record_facts(tmp_path, {"size_exponent": 0.5})
    text = (tmp_path / "manifest.json").read_text()
    assert '"name": "tiny"' in text
    assert '"size_exponent": 0.5' in text


def to_model(limit):
    """Return an uncertainty model that refuses if its limit is below 0."""
    limits = UncertaintyLimits(limit, 1.0, 1.0)
    return UncertaintyModel(NO_SCORE, 0.0, NO_SCORE, IntervalFacts(0.9, 1.0), limits)


def to_case(kind, measured_mm, *, exam=1):
    return Case(f"{exam}_HC.png", exam, kind, 0.0, 200.0, measured_mm, None, {}, True, ())


def test_each_fold_s_cases_are_refused_by_its_own_model():
    """The first fold's model refuses everything, the second one's nothing."""
    cases = {
        0: [to_case(CLEAN, 200.0), to_case("blur", 250.0)],
        1: [to_case(MARKS, 200.0, exam=2), to_case("blur", 250.0, exam=2)],
    }
    verdicts = summarise_degraded(cases, {0: to_model(-1.0), 1: to_model(1.0)})
    caught = verdicts["suite"]["large_errors_caught"]
    assert (caught["count"], caught["of"]) == (1, 2)
    assert verdicts["clean"]["refused"]["count"] == 1
    assert verdicts["by_kind"][MARKS]["refused"]["count"] == 0


@pytest.fixture
def report(heads, tmp_path):
    cases = {0: [to_case(CLEAN, 200.0), to_case("blur", 250.0)]}
    figures = {
        "hc18": summarise_heads(heads),
        "intervals": summarise_coverage(heads),
        "planes": summarise_planes(to_planes(tmp_path)),
        "degraded": summarise_degraded(cases, {0: to_model(1.0)}),
    }
    return figures | {
        "command": "python -m evaluation.out_of_fold measure",
        "date": "2026-12-01T00:00:00+00:00",
        "machine": {"cpu": "a CPU"},
        "served": [{"fold": 0, "name": "net", "precision": "int8", "backend": "openvino"}],
        "data": {
            "folds": [0],
            "images": 5,
            "planes": 5,
            "available": {"folds": 5, "images": 801, "planes": 1210},
        },
        "targets": judge(*figures.values()),
    }


PHANTOMS = {
    "model": {"name": "tiny", "version": "1"},
    "summary": {
        "n": 20,
        "mean_absolute_error_mm": 2.14,
        "signed_error_mm": 0.5,
        "worst_mm": 3.7,
        "not_measured": 1,
    },
}


@pytest.fixture
def fitted(report):
    """Return a report of `fit` with two shares of clean images, the second of which ships."""
    counts = to_share(1, 4)
    caught = {"large_errors_caught": to_share(9, 10), "large_errors_brought_caught": counts}
    costs = [{"chosen_share": share, "clean_refused": counts} | caught for share in (0.01, 0.04)]
    return report | {"command": "python -m evaluation.out_of_fold fit", "refusals": costs}


def test_blocks_have_the_report_s_figures(report, fitted):
    """Counts, shares and targets are those of the report; missed targets are bold."""
    blocks = to_blocks(report, fitted, PHANTOMS, shipped="`tiny` 1")
    accuracy = blocks["accuracy"]
    assert "| errors over 5 % of HC | 2 of 4 (50.0 %) | 1 of 3 (33.3 %) |" in accuracy
    assert "| HC18 images with an answer | 80.0 % | at least 98.5 % | **missed** |" in accuracy
    assert "acceptable answers: mean absolute error | " in accuracy
    assert "| at most 1.80 mm | **missed** |" in accuracy
    assert "1 networks `net`, int8, openvino, on a CPU" in accuracy
    assert "`tiny` 1 ships" in accuracy
    assert "20 drawn phantoms" in accuracy
    assert "error +0.5 mm, worst 3.7 mm, not measured 1" in accuracy
    assert "| abdomens | 3 | 2 | 1 | 33.3 |" in blocks["planes"]
    assert "| femurs | 0 | 0 | 0 | - |" in blocks["planes"]
    assert "constant factor (1.020, the median" in blocks["planes"]
    assert "| blur | 0 of 1 | 0 of 1 | 0 of 0 |" in blocks["refusals"]
    quarter = "1 of 4 (25.0 %)"
    row = f"| **4 %** (ships) | {quarter} | 9 of 10 (90.0 %) | {quarter} |"
    assert row in blocks["refusal-cost"]
    assert f"| 1 % | {quarter} |" in blocks["refusal-cost"]


def test_every_block_says_which_folds_were_not_measured(report, fitted):
    """The images and planes that were measured are counted, and so are all that there are."""
    for block in to_blocks(report, fitted, PHANTOMS, shipped="`tiny` 1").values():
        assert block.startswith("Fold 0 alone of 5 was measured: 5 of ")
        assert "other folds were not measured" in block
        assert "(`python -m evaluation.out_of_fold " in block


@pytest.mark.parametrize(
    ("folds", "said"),
    [
        ([0], "Fold 0 alone of 5 was measured: 5 of 801 HC18 images."),
        ([0, 1, 2], "Folds 0, 1 and 2 of 5 were measured: 5 of 801 HC18 images."),
        ([0, 1, 2, 3, 4], "All 5 folds were measured: 5 of 801 HC18 images."),
    ],
)
def test_scope_names_the_folds(report, folds, said):
    """Nothing is missing only if all folds were measured."""
    report["data"]["folds"] = folds
    scope = to_scope(report, "images")
    assert scope.startswith(said)
    assert ("not measured" in scope) == (len(folds) < 5)


def test_worst_accepted_and_best_refused_answers_are_found_and_plotted(heads, tmp_path):
    """The first accepted one is wrong by 8 %; the only refused one is named, too."""
    rows = [each.figures for each in heads if each.figures.error_mm is not None]
    assert [row.exam for row in find_worst_accepted(rows)] == [3, 2, 1]
    assert [row.exam for row in find_best_refused(rows)] == [4]
    plot_verdicts([each.figures for each in heads], tmp_path / "verdicts.png")
    assert (tmp_path / "verdicts.png").read_bytes().startswith(b"\x89PNG")
