import json
from pathlib import Path

import numpy as np
import pytest

from evaluation.acceptance import RESULT_NAME as ACCEPTANCE_NAME
from evaluation.comparison import text
from evaluation.comparison.__main__ import LATENCY_PATH, RESULTS_DIR, main
from evaluation.comparison.curves import BINS, count_probabilities
from evaluation.comparison.measure import PHANTOMS, infer_probabilities
from evaluation.comparison.plots import to_confusion_matrix
from evaluation.comparison.rows import ComparedRow, DegradedRow, Measured, PlaneRow
from evaluation.comparison.summary import (
    FIGURES,
    summarise_degraded,
    summarise_network,
    summarise_planes,
    to_report,
    to_values,
)
from evaluation.metrics import count_confusion, measure_surface_distances
from examples.phantom import draw_phantom, load_parameters
from harness.documents import read_block
from headcirc.geometry import PixelSpacing
from headcirc.overlay import to_png
from headcirc.pipeline import load_pipeline

PIXEL_SIZE_MM = 0.2
SIDE = 81


def draw_disc(radius_px, shift_px=0.0):
    """Return the pixels within a radius of the centre, shifted to the right."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    return np.hypot(x - shift_px, y) <= radius_px


def make_row(name, exam, truth, predicted, error_mm):
    """Return the row of one drawn answer."""
    confusion = count_confusion(predicted, truth)
    spacing = PixelSpacing(PIXEL_SIZE_MM, PIXEL_SIZE_MM)
    distances = measure_surface_distances(predicted, truth, spacing)
    return ComparedRow(
        name=name,
        exam=exam,
        true_hc_mm=100.0,
        measured_hc_mm=None if error_mm is None else 100.0 + error_mm,
        error_mm=error_mm,
        ellipse_dice=confusion.dice,
        ellipse_hausdorff_mm=distances and distances.hausdorff_mm,
        mask_dice=confusion.dice,
        mask_iou=confusion.iou,
        mask_precision=confusion.precision,
        mask_recall=confusion.recall,
        mask_true_positive_px=confusion.true_positive,
        mask_false_positive_px=confusion.false_positive,
        mask_false_negative_px=confusion.false_negative,
        mask_true_negative_px=confusion.true_negative,
        mask_hausdorff_mm=distances and distances.hausdorff_mm,
        mask_hausdorff_95_mm=distances and distances.hausdorff_95_mm,
        mask_average_surface_distance_mm=distances and distances.average_mm,
        warnings="",
        acceptable=True,
        auc_roc=1.0,
        auc_pr=1.0,
        pixel_size_mm=PIXEL_SIZE_MM,
        head_share=0.6,
        edge_share=0.3 + 0.01 * exam,
        head_area_share=0.4,
        edge_area_share=0.1,
    )


def make_measured(
    title, name, *, shift_px=2.0, bias_mm=1.0, seed=0, images=12, version="comparison-seed"
):
    """Return a network whose masks are shifted discs and whose circumferences have a bias."""
    truth, rows, counts = draw_disc(20), [], []
    generator = np.random.default_rng([seed, len(title)])
    for i in range(images):
        predicted = draw_disc(20, shift_px)
        error_mm = bias_mm + float(generator.normal(0, 0.1))
        rows.append(make_row(f"{i:03d}_HC.png", i // 2, truth, predicted, error_mm))
        probabilities = np.where(predicted, 0.95, 0.05).astype(np.float32)
        counts.append(count_probabilities(probabilities, truth))
    degraded = [DegradedRow("000_HC.png", 0, "shadow", 0.5, 100.0, 103.0, 0.9, True)]
    planes = [PlaneRow("head/1.jpg", "head", "s", "p", True, True, 0.9, 1.02)]
    model = {
        "name": name,
        "version": f"{version}-{seed}",
        "architecture": f"{title} (arXiv 0)",
        "parameters": 2_000_000,
        "macs": 3e9,
        "backend": "openvino",
        "precision": "fp32",
        "file_bytes": {"fp32": 8_000_000},
    }
    facts = {
        "model": model,
        "machine": {"cpu": "a CPU"},
        "data": {"part": "calibration", "images": images, "exams": images // 2},
        "fp16_against_fp32": {"difference_95th_percentile_mm": 0.04, "largest_difference_mm": 0.07},
    }
    maps = np.zeros((len(PHANTOMS), 540, 800), np.uint8)
    return Measured(facts, rows, degraded, planes, np.array(counts), maps)


@pytest.fixture(scope="module")
def results_dir(tmp_path_factory):
    """Write three networks, one of them with two seeds, one also outside the protocol."""
    folder = tmp_path_factory.mktemp("comparison")
    for measured in (
        make_measured("Attention-ResUNet", "attention-resunet-16"),
        make_measured("U-Net", "unet-16", bias_mm=3.0),
        make_measured("U-Net", "unet-16", bias_mm=2.5, seed=1),
        make_measured("Swin U-Net", "swin-unet-27", shift_px=5.0),
        make_measured("Swin U-Net", "swin-unet-27", shift_px=0.0, version="a-rate-seed"),
    ):
        measured.write(folder / measured.name / measured.version)
    for measured in (
        make_measured("Attention-ResUNet", "attention-resunet-16", images=20),
        make_measured("U-Net", "unet-16", bias_mm=3.0, images=20),
        make_measured("U-Net", "unet-16", bias_mm=0.0, images=20, version="a-rate-seed"),
    ):
        measured.write(folder / "calibration" / measured.name / measured.version)
    figures = {"mean_absolute_error_rise_mm": 0.31, "ellipse_dice_fall": 0.002}
    figures |= {"difference_95th_percentile_mm": 2.5, "largest_difference_mm": 7.5}
    candidate = {"model": {"backend": "openvino"}, "figures": figures}
    within = {name: False for name in figures}
    acceptance = {"limits": {}, "candidates": [candidate | {"within": within}], "accepted": False}
    (folder / "unet-16" / "comparison-seed-0" / ACCEPTANCE_NAME).write_text(json.dumps(acceptance))
    return folder


def test_figures_of_shifted_discs_are_known():
    """A disc of radius 20 shifted by 2 pixels: Hausdorff 2 px, 0.4 mm; precision equals recall."""
    figures = summarise_network(make_measured("U-Net", "unet-16"))["figures"]
    assert figures["hausdorff_px"]["value"] == pytest.approx(2.0)
    assert figures["hausdorff_mm"]["value"] == pytest.approx(0.4)
    assert figures["assd_px"]["value"] == pytest.approx(4 / np.pi, rel=0.1)  # mean of 2 |cos|
    assert figures["assd_mm"]["value"] == pytest.approx(0.2 * figures["assd_px"]["value"])
    # Two equal discs at distance s overlap in 2 r^2 acos(s / 2r) - s / 2 sqrt(4 r^2 - s^2).
    radius, shift = 20, 2
    lens = 2 * radius**2 * np.arccos(shift / (2 * radius))
    lens -= shift / 2 * np.sqrt(4 * radius**2 - shift**2)
    dice = 100 * lens / (np.pi * radius**2)
    assert figures["dice"]["value"] == pytest.approx(dice, abs=0.3)
    assert figures["f1"] == figures["dice"]
    assert figures["precision"]["value"] == pytest.approx(figures["recall"]["value"])
    iou = figures["iou"]["value"] / 100
    assert figures["dice"]["value"] / 100 == pytest.approx(2 * iou / (1 + iou))
    assert figures["dice"]["standard_deviation"] == pytest.approx(0)


def test_errors_are_shares_of_the_circumference():
    """An error of 2.9 of 100 mm is 2.9 % and within 3 %; without an answer nothing is."""
    truth = draw_disc(20)
    rows = [
        make_row("a", 1, truth, truth, -2.9),
        make_row("b", 2, truth, truth, 3.1),
        make_row("c", 3, truth, draw_disc(-1), None),
    ]
    assert to_values(rows, "absolute_error_percent") == [
        pytest.approx(2.9),
        pytest.approx(3.1),
        None,
    ]
    assert to_values(rows, "within_3_percent") == [100, 0, 0]
    assert to_values(rows, "hausdorff_px") == [0, 0, None]
    assert to_values(rows, "dice")[2] == 0


def test_calibration_error_and_confusion_of_a_known_case():
    """Half a bin above 0.95 and 0.05: the gaps follow from the wrong pixels alone."""
    measured = make_measured("U-Net", "unet-16")
    summary = summarise_network(measured)
    matrix = to_confusion_matrix(summary["pixels"])
    assert matrix.sum() == pytest.approx(1)
    assert matrix[0, 1] == pytest.approx(matrix[1, 0])  # as much missed as added
    truth, predicted = draw_disc(20), draw_disc(20, 2)
    inside, outside = truth[predicted].mean(), truth[~predicted].mean()
    share = predicted.mean()
    expected = share * abs(0.9525 - inside) + (1 - share) * abs(0.0525 - outside)
    assert summary["calibration"]["value"] == pytest.approx(expected, abs=3e-3)
    assert measured.counts.shape == (12, 2, BINS)


def test_rows_are_the_same_after_writing_and_reading(tmp_path):
    """Every type survives the CSV: None, numbers, texts, booleans."""
    measured = make_measured("U-Net", "unet-16")
    measured.rows[0] = make_row("x", 9, draw_disc(20), draw_disc(-1), None)
    measured.write(tmp_path)
    found = Measured.read(tmp_path)
    assert found.rows == measured.rows
    assert found.degraded == measured.degraded
    assert found.planes == measured.planes
    assert np.array_equal(found.counts, measured.counts)
    assert found.facts == measured.facts
    assert (found.title, found.name, found.version) == ("U-Net", "unet-16", "comparison-seed-0")


def test_degraded_images_are_summarised_by_kind():
    """An answer that is missing has Dice 0; the worst acceptable error is reported."""
    rows = [
        DegradedRow("a", 1, "gain", 0.1, 100.0, 101.0, 0.98, True),
        DegradedRow("b", 2, "gain", 0.9, 100.0, None, 0.0, False),
        DegradedRow("a", 1, "crop", 0.5, 100.0, 90.0, 0.80, False),
    ]
    found = summarise_degraded(rows)
    assert found["gain"]["without_answer"] == 1
    assert found["gain"]["absolute_error_mm"]["value"] == 1
    assert found["gain"]["dice"]["value"] == pytest.approx(49)
    assert found["gain"]["worst_acceptable_mm"] == 1
    assert found["crop"]["worst_acceptable_mm"] is None


def test_planes_are_counted_by_kind():
    """Abdomens that were called a head are counted; ratios are of annotated heads."""
    rows = [
        PlaneRow("head/1.jpg", "head", "s", "p", True, True, 0.96, 1.02),
        PlaneRow("head/2.jpg", "head", "s", "q", False, False, 0.0, None),
        PlaneRow("abdomen/1.jpg", "abdomen", "s", "p", True, False),
    ]
    found = summarise_planes(rows)
    assert found["head"] == {"planes": 2, "found": 1, "acceptable": 1}
    assert found["abdomen"] == {"planes": 1, "found": 1, "acceptable": 0}
    assert found["annotated_heads"]["dice"]["value"] == pytest.approx(48)
    assert found["annotated_heads"]["median_ratio"] == 1.02


def test_one_command_writes_report_figures_and_tables(results_dir, tmp_path, capsys):
    """All pairs are tested; the biased network and the shifted one differ from the first."""
    page = tmp_path / "comparison.md"
    page.write_text("<!-- comparison:begin -->\n\n<!-- comparison:end -->\n")
    latency = tmp_path / "latency.json"
    engine = {"model": "unet-16", "backend": "openvino", "precision": "fp32"}
    times = {"request_ms": {"p50": 12.5, "n": 40}, "peak_memory_mb": 230.0}
    run = {"machine": {"cpu": "a CPU"}, "command": "python -m benchmarks.latency"}
    latency.write_text(json.dumps(run | {"engines": [engine | times]}))
    options = ["--results", str(results_dir), "--latency", str(latency), "--page", str(page)]
    assert main(["report", *options]) == 0
    block = read_block(page.read_text(), "comparison")
    assert block in capsys.readouterr().out
    report = json.loads((results_dir / "comparison.json").read_text())
    titles = [each["title"] for each in report["networks"]]
    assert titles == ["Attention-ResUNet", "U-Net", "Swin U-Net"]
    tests = report["tested"]["absolute_error_mm"]["tests"]
    (biased,) = [t for t in tests if (t["first"], t["second"]) == ("Attention-ResUNet", "U-Net")]
    assert biased["mean_difference"] == pytest.approx(2, abs=0.2)
    assert biased["exams"] == 6
    assert biased["seeds_agree"] is None
    assert "12.5 ms, 230 MB" in block
    assert "| U-Net | INT8, openvino | +0.31 | 2.50 | 7.50 | refused |" in block
    assert "| U-Net | FP16, ONNX Runtime | - | 0.04 | 0.07 | - |" in block
    chosen = report["calibration"]
    assert (chosen["images"], chosen["exams"]) == (20, 10)
    assert list(chosen["figures"]) == ["Attention-ResUNet", "U-Net"]
    compared = chosen["tested"]["dice"]["tests"]
    assert [(t["first"], t["second"]) for t in compared] == [("Attention-ResUNet", "U-Net")]
    assert "20 images of 10 exams" in block
    (sentence,) = [line for line in block.splitlines() if "HC absolute error, mm, pairs" in line]
    assert "U-Net minus Attention-ResUNet (+" in sentence
    assert list(report["seeds"]["Swin U-Net"]) == ["comparison-seed-0"]
    assert "a-rate-seed" not in block
    for name in text.PICTURES:
        assert (results_dir / f"{name}.png").stat().st_size > 5000, name
        assert f"comparison/{name}.png" in block


def test_networks_of_different_parts_are_not_compared():
    """A calibration figure is not held against a test figure."""
    first, second = make_measured("U-Net", "unet-16"), make_measured("ResUNet", "resunet-16")
    second.facts["data"]["part"] = "test"
    with pytest.raises(ValueError, match="calibration and test"):
        to_report([first, second], ["U-Net", "ResUNet"])


def test_networks_with_other_images_are_not_paired():
    """Rows are paired by place, so names and exams must be the same."""
    first, second = make_measured("U-Net", "unet-16"), make_measured("ResUNet", "resunet-16")
    second.rows.reverse()
    with pytest.raises(ValueError, match="same images"):
        to_report([first, second], ["U-Net", "ResUNet"])


def test_errors_are_also_compared_on_images_that_all_answered():
    """One network refuses two images: for both, ten count."""
    first, second = make_measured("U-Net", "unet-16"), make_measured("ResUNet", "resunet-16")
    truth = draw_disc(20)
    for i in (0, 5):
        second.rows[i] = make_row(f"{i:03d}_HC.png", i // 2, truth, draw_disc(-1), None)
    report = to_report([first, second], ["U-Net", "ResUNet"])
    answered = report["answered_by_all"]
    assert answered["images"] == 10
    expected = np.mean([abs(row.error_mm) for i, row in enumerate(first.rows) if i not in (0, 5)])
    assert answered["absolute_error_mm"]["U-Net"]["value"] == pytest.approx(expected)
    assert "HC absolute error on the 10 images" in text.to_accuracy_table(
        report["networks"], answered
    )


def test_network_without_answers_is_reported_and_not_paired():
    """It has Dice 0 and no errors; the others are compared on what they answered."""
    title = "Swin U-Net"
    failed = make_measured(title, "swin-unet-27")
    for i, row in enumerate(failed.rows):
        failed.rows[i] = make_row(row.name, row.exam, draw_disc(20), draw_disc(-1), None)
    measured = [make_measured("U-Net", "unet-16"), make_measured("ResUNet", "resunet-16"), failed]
    report = to_report(measured, ["U-Net", "ResUNet", title]) | {"calibration": None}
    for each in report["networks"]:
        each["int8"] = []
    tested = report["tested"]["absolute_error_mm"]
    assert [(each["first"], each["second"]) for each in tested["tests"]] == [("U-Net", "ResUNet")]
    assert tested["left_out"] == [["U-Net", title], ["ResUNet", title]]
    assert report["answered_by_all"]["images"] == 12
    block = text.to_block(report, None, [])
    assert "images that all but the Swin U-Net answered" in block
    assert "Not tested, because fewer than three exams have a value of both" in block
    assert f"| {title} | comparison-seed-0 | - | 0.000 | - | - |" in block


def test_page_shows_the_committed_results():
    """The block between the markers is what the command writes from the committed report."""
    block = read_block(Path("docs/comparison.md").read_text(), text.BLOCK)
    report, latency = (
        json.loads(path.read_text()) for path in (RESULTS_DIR / "comparison.json", LATENCY_PATH)
    )
    assert text.to_block(report, latency, list(text.PICTURES)) == block


def test_probabilities_come_in_the_frame():
    """The real pipeline's map has the picture's size and finds the phantom."""
    pipeline = load_pipeline(precision="fp32", backend="onnxruntime")
    picture = draw_phantom(load_parameters()[PHANTOMS[0]])
    probabilities = infer_probabilities(pipeline, pipeline.prepare(to_png(picture)))
    assert probabilities.shape == picture.shape
    assert 0 <= probabilities.min() < 0.1
    assert 0.9 < probabilities.max() <= 1


def test_every_figure_has_a_title():
    """Tables print them; distances are in pixels and in millimetres."""
    titles = [title for title, _ in FIGURES.values()]
    assert len(set(titles)) == len(titles)
    assert sum(title.endswith("px") for title in titles) == 3
