import csv
import json

import numpy as np
import pytest

from evaluation.metrics import to_paired_p
from evaluation.side_by_side import (
    BLOCK,
    FIGURES,
    OTHERS,
    PARTS,
    read_measured,
    to_block,
    to_card,
    to_p_text,
    to_part_table,
    to_rise,
)
from evaluation.unseen_exams import SPLIT_MODEL_DIR
from harness.documents import read_block
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.model.manifest import load_manifest


def write(folder, errors_mm, *, part="test", first_exam=1):
    """Write a model's results with one image per exam, and 7 for every other figure."""
    folder.mkdir(exist_ok=True)
    figures = {name: {"value": 7.0} for name in FIGURES}
    band = {"low_mm": 100.0, "high_mm": None, "images": len(errors_mm)}
    report = {
        "model": {"name": folder.name, "version": "1.0.0", "precision": "int8"},
        "summary": {"figures": figures, "without_answer": ["x"] * errors_mm.count(None)},
        "bins": [band | {"errors": {"mean_absolute_error_mm": {"value": 3.0}}}],
    }
    (folder / f"accuracy_{part}.json").write_text(json.dumps(report))
    with (folder / f"accuracy_{part}.csv").open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["name", "exam", "error_mm"])
        for exam, error_mm in enumerate(errors_mm, first_exam):
            writer.writerow([f"{exam:03}_HC.png", exam, "" if error_mm is None else error_mm])


@pytest.fixture
def folders(tmp_path):
    return tmp_path / "narrow", tmp_path / "wide"


def test_errors_are_compared_image_by_image(folders):
    """Absolute errors of 1, 2, 4 and 3, 2, 3 differ by 1/3 mm on average."""
    for folder, errors_mm in zip(folders, ([1, -2, 4], [-3, -2, 3]), strict=True):
        write(folder, errors_mm)
    first, second = (read_measured(folder, "test") for folder in folders)
    rise = to_rise(first, second)
    assert rise.value == pytest.approx(1 / 3)
    assert rise.low <= rise.value <= rise.high
    table = to_part_table(first, second, "test")
    assert "+0.33 mm" in table
    assert "correlate at 0.78." in table  # 15 / sqrt(18 * 62 / 3)


def test_an_image_without_an_answer_is_left_out(folders):
    """Images without an answer from either model are excluded."""
    for folder, errors_mm in zip(folders, ([1, 2, 50], [2, 3, None]), strict=True):
        write(folder, errors_mm)
    both = [read_measured(folder, "test") for folder in folders]
    rise = to_rise(*both)
    assert (rise.value, rise.n, rise.excluded) == (1.0, 2, 1)
    assert "| images without an answer | 0 | 1 |" in to_part_table(*both, "test")


def test_equal_answers_are_reported_as_equal(folders):
    """Without any difference there is no paired test."""
    for folder in folders:
        write(folder, [1, -2, 3])
    table = to_part_table(*(read_measured(folder, "test") for folder in folders), "test")
    assert "+0.00 mm (+0.00 to +0.00" in table
    assert "all errors are equal" in table


def test_models_measured_on_different_images_are_refused(folders):
    """Results on different images cannot be compared."""
    write(folders[0], [1, 2])
    write(folders[1], [1, 2], first_exam=5)
    with pytest.raises(ValueError, match="same images"):
        to_rise(*(read_measured(folder, "test") for folder in folders))


@pytest.mark.parametrize("name", OTHERS)
def test_cards_have_the_tables_of_the_committed_results(name):
    """The table of each card is made from the committed results."""
    assert read_block(to_card(name).read_text(), BLOCK) == to_block(name)


def test_paired_p_is_small_only_where_one_is_better():
    """The p value is small if all errors are larger, not if they are only reordered."""
    first = np.linspace(-1, 1, 40)
    assert to_paired_p(first * 3, first) < 0.001
    assert to_paired_p(-first, first) is None
    assert to_paired_p([*first, np.nan], [*first * -1, 2.0]) is None


@pytest.mark.parametrize(("p", "text"), [(0.004, "< 0.01"), (0.0649, "= 0.06"), (1.0, "= 1.00")])
def test_small_p_is_printed_as_below_0_01(p, text):
    """A p value that two digits cannot show is printed as `< 0.01`."""
    assert to_p_text(p) == text


def test_split_card_names_the_version():
    """The title of the first model's card has the version of its manifest."""
    title = (SPLIT_MODEL_DIR / "README.md").read_text().splitlines()[0]
    assert title.endswith(f"version {load_manifest(SPLIT_MODEL_DIR).version}")


@pytest.mark.parametrize("part", PARTS)
def test_split_manifest_has_the_committed_results(part):
    """The first model's figures are those that its manifest has."""
    measured = json.loads((EVALUATION_RESULTS_DIR / f"accuracy_{part}.json").read_text())
    recorded = load_manifest(SPLIT_MODEL_DIR).accuracy[part]
    for name in ("date", "data", "summary", "bins"):
        assert recorded[name] == measured[name]
