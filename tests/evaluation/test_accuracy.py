import csv
import json
import math
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from evaluation.accuracy import load_truth, measure_served, to_report, write_results
from evaluation.accuracy_summary import (
    fill_ellipse,
    judge_floors,
    summarise,
    to_image_result,
    to_markdown,
)
from harness.served import ServedAnswer, ServiceFailedError, ask, fetch_model, to_ellipse
from headcirc.geometry import Ellipse, to_ellipse_perimeter
from training.data.hc18 import HC18Image

ROWS, COLUMNS, PIXEL_SIZE_MM = 120, 160, 0.5
HEAD = Ellipse(80.0, 60.0, 50.0, 40.0, 0.4)
HEAD_MM = to_ellipse_perimeter(HEAD.semi_axis_major_px, HEAD.semi_axis_minor_px) * PIXEL_SIZE_MM
SERVED = {
    "name": "m",
    "version": "1",
    "sha256": "0" * 64,
    "backend": "onnxruntime",
    "precision": "fp32",
}


def to_image(name="010_HC.png", exam=10, hc_mm=HEAD_MM, folder=Path()):
    path = folder / name
    return HC18Image(name, exam, PIXEL_SIZE_MM, hc_mm, path, folder / f"true_{name}")


def to_answer(ellipse=HEAD, hc_mm=HEAD_MM, warnings=()):
    mask = (
        np.zeros((ROWS, COLUMNS), bool) if ellipse is None else fill_ellipse(ellipse, ROWS, COLUMNS)
    )
    return ServedAnswer(ellipse, hc_mm, mask, tuple(warnings), not warnings)


@pytest.fixture(scope="module")
def rows():
    """Return a perfect answer, one 2 mm too large on another exam, and a missing one."""
    truth = fill_ellipse(HEAD, ROWS, COLUMNS)
    larger = Ellipse(80.0, 60.0, 52.0, 42.0, 0.4)
    return [
        to_image_result(to_image(), truth, to_answer()),
        to_image_result(to_image("011_HC.png", 11), truth, to_answer(larger, HEAD_MM + 2)),
        to_image_result(
            to_image("012_HC.png", 12), truth, to_answer(None, None, ["no-head-found"])
        ),
    ]


@pytest.fixture(scope="module")
def report(rows):
    return to_report(rows, "test", SERVED, "python -m evaluation.accuracy --part test")


def test_a_perfect_answer_has_dice_1_and_error_0(rows):
    """The true ellipse and mask as an answer agree with the truth in every figure."""
    perfect = rows[0]
    assert (perfect.ellipse_dice, perfect.mask_dice, perfect.mask_iou) == (1, 1, 1)
    assert (perfect.error_mm, perfect.ellipse_hausdorff_mm) == (0, 0)
    assert perfect.mask_true_positive_px == pytest.approx(math.pi * 50 * 40, rel=0.005)


def test_the_error_is_measured_minus_true(rows):
    """A head measured too large has a positive error and false positive pixels."""
    larger = rows[1]
    assert larger.error_mm == pytest.approx(2)
    assert larger.ellipse_dice == pytest.approx(2 * 50 * 40 / (50 * 40 + 52 * 42), abs=0.005)
    assert larger.mask_false_positive_px > 0
    assert larger.mask_false_negative_px == 0
    assert larger.mask_hausdorff_mm == pytest.approx(2 * PIXEL_SIZE_MM, abs=0.4)


def test_no_answer_counts_as_dice_0_and_is_listed(rows, report):
    """An image without an answer has Dice 0, no error in mm, and is listed."""
    assert (rows[2].ellipse_dice, rows[2].mask_dice, rows[2].error_mm) == (0, 0, None)
    summary = report["summary"]
    assert summary["without_answer"] == summary["not_acceptable"] == ["012_HC.png"]
    dice, error = (summary["figures"][name] for name in ("ellipse_dice", "bias_mm"))
    assert (dice["n"], dice["excluded"]) == (3, 0)
    assert (error["n"], error["excluded"], error["value"]) == (2, 1, pytest.approx(1))
    assert summary["figures"]["mask_hausdorff_mm"]["excluded"] == 1


def test_pixel_totals_are_those_of_all_images(report):
    """The sum of the four counts is the number of pixels of all frames."""
    assert sum(report["summary"]["mask_pixels"].values()) == 3 * ROWS * COLUMNS


def test_floor_is_met_at_its_value_and_not_beyond(rows):
    """A figure equal to its floor meets it; an unmeasured figure does not."""
    summary = summarise(rows[:1])
    figures = summary["figures"]
    assert judge_floors(summary)["met"]
    for name, at_floor, beyond in (
        ("ellipse_dice", 0.97, 0.9699),
        ("mean_absolute_error_mm", 2.2, 2.21),
        ("bias_mm", -0.4, -0.41),
    ):
        before = figures[name]["value"]
        figures[name]["value"] = at_floor
        assert judge_floors(summary)["met"]
        for failing in (beyond, None):
            figures[name]["value"] = failing
            assert not judge_floors(summary)["met"]
        figures[name]["value"] = before
    assert not judge_floors(summary | {"without_answer": ["012_HC.png"]})["met"]


def test_bands_count_images_without_an_answer(report):
    """The band of the heads counts its images and those without an answer."""
    bins = report["bins"]
    assert [each["images"] for each in bins] == [0, 3, 0, 0, 0, 0]
    assert [each["without_answer"] for each in bins] == [0, 1, 0, 0, 0, 0]
    assert bins[1]["ellipse_dice"]["n"] == 3
    assert bins[0]["ellipse_dice"]["value"] is None


def test_the_table_shows_every_figure_and_band(report):
    """The Markdown has a row for each figure and band, with the cells of its header."""
    summary, bins = report["summary"], report["bins"]
    first, second = to_markdown(summary, bins).split("\n\n")
    assert len(first.splitlines()) == 2 + len(summary["figures"])
    assert len(second.splitlines()) == 2 + len(bins)
    for table in (first, second):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_the_report_is_strict_json_with_the_leakage_note(rows, report, tmp_path):
    """All files are written; the JSON has no NaN and no path, but the note and the verdict."""
    write_results(rows, report, tmp_path)
    text = (tmp_path / "accuracy_test.json").read_text()
    read = json.loads(text, parse_constant=pytest.fail)
    assert read["data"] | {"note": ""} == {
        "name": "HC18",
        "part": "test",
        "images": 3,
        "exams": 3,
        "note": "",
    }
    assert "cannot be excluded" in read["data"]["note"]
    assert str(tmp_path) not in text
    assert read["floors"]["met"] is False
    with (tmp_path / "accuracy_test.csv").open(newline="") as table:
        lines = list(csv.DictReader(table))
    assert [line["name"] for line in lines] == ["010_HC.png", "011_HC.png", "012_HC.png"]
    assert lines[2]["error_mm"] == ""
    for plot in ("bland_altman_test.png", "error_by_bin_test.png"):
        assert cv2.imread(str(tmp_path / plot)) is not None


def test_plots_can_be_drawn_without_any_answer(rows, tmp_path):
    """A model without answers still gives all files; calibration has no verdict."""
    report = to_report(rows[2:], "calibration", SERVED, "")
    assert report["floors"] is None
    write_results(rows[2:], report, tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


def fake_service(request):
    """Answer as the contract says: the true head, its mask behind a relative link."""
    if request.url.path == "/v1/models":
        return httpx.Response(200, json={"models": [SERVED | {"width": 16}]})
    if request.method == "GET":
        mask = fill_ellipse(HEAD, ROWS, COLUMNS)
        return httpx.Response(200, content=cv2.imencode(".png", mask * np.uint8(255))[1].tobytes())
    if b"damaged" in request.content:
        return httpx.Response(400, json={"code": "unreadable-image"})
    assert b'name="pixel_size_mm"\r\n\r\n0.5\r\n' in request.content
    ellipse = {"center_x_px": 80.0, "center_y_px": 60.0, "semi_major_px": 50.0}
    ellipse |= {"semi_minor_px": 40.0, "angle_deg": math.degrees(0.4)}
    body = {
        "head": {
            "ellipse": ellipse,
            "head_circumference_mm": HEAD_MM,
            "head_circumference_interval_mm": {"level": 0.9, "low": 60.0, "high": 80.0},
        },
        "quality": {"acceptable": True, "warnings": []},
        "links": {"mask": "/v1/analyses/abc/mask"},
    }
    return httpx.Response(201, json=body)


@pytest.fixture
def client():
    transport = httpx.MockTransport(fake_service)
    with httpx.Client(transport=transport, base_url="http://fake") as each:
        yield each


def test_answers_are_read_as_the_http_api_describes_them(client, tmp_path):
    """A service that returns the drawn head has a Dice near 1."""
    image = to_image(folder=tmp_path)
    image.path.write_bytes(b"any bytes")
    outline = np.zeros((ROWS, COLUMNS), np.uint8)
    cv2.ellipse(outline, ((80, 60), (100, 80), math.degrees(0.4)), 255, 1)
    cv2.imwrite(str(image.annotation_path), outline)
    assert load_truth(image).shape == (ROWS, COLUMNS)
    (row,) = measure_served(client, [image])
    assert row.error_mm == 0
    assert row.ellipse_dice > 0.985
    assert row.mask_dice > 0.985
    assert ask(client, b"any bytes", PIXEL_SIZE_MM).interval_mm == (60.0, 80.0)


def test_a_refused_image_stops_the_measurement(client, tmp_path):
    """An error answer does not count as a missing head; it stops the measurement."""
    image = to_image(folder=tmp_path)
    image.path.write_bytes(b"damaged")
    cv2.imwrite(str(image.annotation_path), fill_ellipse(HEAD, ROWS, COLUMNS) * np.uint8(255))
    with pytest.raises(ServiceFailedError, match="unreadable-image"):
        measure_served(client, [image])


def test_report_names_the_model_that_the_service_reports(client):
    """The report has only the needed facts about the model."""
    assert fetch_model(client) == SERVED


def test_angle_of_the_http_api_is_in_degrees():
    """90 degrees are pi / 2."""
    body = {"center_x_px": 1, "center_y_px": 2, "semi_major_px": 4, "semi_minor_px": 3}
    assert to_ellipse(body | {"angle_deg": 90}) == Ellipse(1, 2, 4, 3, math.pi / 2)
