from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.acceptance import (
    LIMITS,
    NotComparableError,
    Run,
    compare,
    judge,
    to_report,
    to_text,
)
from evaluation.accuracy_summary import fill_ellipse, to_image_result
from harness.served import ServedAnswer
from headcirc.geometry import Ellipse
from training.data.hc18 import PARTS, HC18Image

HEAD = Ellipse(80.0, 60.0, 50.0, 40.0, 0.4)
TRUTH = fill_ellipse(HEAD, 120, 160)


def to_row(index, error_mm, true_mm=100.0):
    image = HC18Image(f"{index:03d}_HC.png", index, 0.5, true_mm, Path(), Path())
    if error_mm is None:
        answer = ServedAnswer(None, None, np.zeros_like(TRUTH), ("no-head-found",), False)
    else:
        answer = ServedAnswer(HEAD, true_mm + error_mm, TRUTH, (), True)
    return to_image_result(image, TRUTH, answer)


def to_run(*errors_mm, backend="openvino", precision="int8"):
    model = {"name": "m", "sha256": "0" * 64, "backend": backend, "precision": precision}
    return Run(model, [to_row(i, error_mm) for i, error_mm in enumerate(errors_mm)])


def test_the_same_answers_are_accepted():
    """A candidate with the answers of the reference differs by nothing."""
    run = to_run(1.0, -2.0, 0.5)
    figures = compare(run, run)
    assert set(figures.values()) == {0.0}
    assert all(judge(figures).values())


def test_figures_are_candidate_against_reference():
    """Errors of 2.2, 2 and 1 mm against 2, 2 and 2: the mean falls by 0.267, the largest is 1."""
    figures = compare(to_run(2.2, 2.0, 1.0), to_run(2.0, 2.0, 2.0))
    assert figures["mean_absolute_error_rise_mm"] == pytest.approx(-0.8 / 3)
    assert figures["largest_difference_mm"] == pytest.approx(1.0)
    assert figures["difference_95th_percentile_mm"] == pytest.approx(0.92)
    assert figures["ellipse_dice_fall"] == 0


def test_networks_without_a_common_answer_are_not_compared():
    """A network that finds no head has no figures; the message says what to look at."""
    with pytest.raises(NotComparableError, match="does it find heads"):
        compare(to_run(None, 1.0), to_run(2.0, None))


@pytest.mark.parametrize("name", LIMITS)
def test_each_limit_refuses_a_larger_figure(name):
    """A figure at its limit is accepted; a larger one or NaN is refused."""
    within = dict.fromkeys(LIMITS, 0.0)
    assert all(judge(within | {name: LIMITS[name]}).values())
    for beyond in (LIMITS[name] + 1e-4, float("nan")):
        assert judge(within | {name: beyond}) == dict.fromkeys(LIMITS, True) | {name: False}


def test_shifted_head_plane_is_refused():
    """The largest difference of two images is 0.12; models without this output differ by 0."""
    run = to_run(1.0)
    ours, theirs = (
        replace(run, rows=[replace(run.rows[0], head_plane_probability=each) for each in planes])
        for planes in ((0.9, 0.4), (0.91, 0.52))
    )
    figures = compare(ours, theirs)
    assert figures["largest_head_plane_difference"] == pytest.approx(0.12)
    assert [name for name, holds in judge(figures).items() if not holds] == [
        "largest_head_plane_difference"
    ]


def test_lost_head_is_refused():
    """A head that only the reference finds is another verdict and lowers the Dice."""
    reference = to_run(1.0, 1.0, backend="onnxruntime", precision="fp32")
    report = to_report(reference, [to_run(1.0, 1.0), to_run(1.0, None)], trained_on=("train",))
    first, second = report["candidates"]
    assert all(first["within"].values())
    assert not second["within"]["images_with_another_verdict"]
    assert second["figures"]["ellipse_dice_fall"] == pytest.approx(0.5)
    assert report["accepted"] is False
    assert to_text(report).endswith("REFUSED")
    assert "images_with_another_verdict 1.00000 (at most 0): NOT WITHIN" in to_text(report)


def test_report_names_every_engine():
    """The report contains the reference, the candidates, the data and the limits."""
    reference = to_run(1.0, 1.0, backend="onnxruntime", precision="fp32")
    report = to_report(replace(reference), [to_run(1.01, 0.99)], trained_on=PARTS)
    assert report["accepted"] is True
    assert report["reference"]["model"]["precision"] == "fp32"
    assert report["data"]["part"] == "calibration"
    assert report["data"]["are_training_figures"] is True
    unseen = to_report(reference, [], trained_on=("train",))
    assert unseen["data"]["are_training_figures"] is False
    assert report["limits"] == LIMITS
