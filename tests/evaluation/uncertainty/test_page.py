"""Compare the figures of `docs/uncertainty.md`, typed by hand, with the evaluation's results."""

import csv
import json
import re
from pathlib import Path

import pytest

from evaluation.augmentation import VARIANTS
from evaluation.uncertainty.fit import CLEAN_REFUSED_SHARE
from evaluation.uncertainty.folds import FIGURES

RESULTS_DIR = Path("evaluation/results")
PAGE = Path("docs/uncertainty.md").read_text()


def read_result(name: str) -> dict:
    """Return a report of the evaluation."""
    return json.loads((RESULTS_DIR / f"{name}.json").read_text())


def to_cells(row: str) -> list[str]:
    """Return the cells of the row of the page that starts with a title."""
    (line,) = re.findall(rf"^\| {re.escape(row)} \|(.*)\|$", PAGE, flags=re.MULTILINE)
    return [cell.strip() for cell in line.split("|")]


def test_page_has_the_coverage_of_the_intervals():
    """The page has the count of the test part."""
    (counts,) = re.findall(r"held on (\d+) of (\d+) images", " ".join(PAGE.split()))
    coverage = read_result("uncertainty_test")["intervals"]["coverage"]
    assert counts == (str(coverage["count"]), str(coverage["of"]))


@pytest.mark.parametrize(("row", "name"), [("clean", "clean"), ("degraded", "suite")])
def test_page_has_the_refusals(row, name):
    """The counts of refusals on test exams are those of the report."""
    found = read_result("uncertainty_test")["verdicts"][name]
    for cell, key in zip(
        to_cells(row), ("refused", "large_errors_caught", "others_refused"), strict=True
    ):
        assert cell.partition(",")[0] == f"{found[key]['count']} of {found[key]['of']}"


def test_page_has_the_refusals_of_errors_caused_by_degradation():
    """Counts of the test exams, with calibration exams in brackets."""
    text = " ".join(PAGE.split())
    (counts,) = re.findall(
        r"within 3 mm: (\d+) of (\d+) of these errors are refused "
        r"\(calibration exams: (\d+) of (\d+)\)",
        text,
    )
    brought = [
        read_result(f"uncertainty_{part}")["verdicts"]["large_errors_brought_caught"]
        for part in ("test", "calibration")
    ]
    assert [int(each) for each in counts] == [
        each[key] for each in brought for key in ("count", "of")
    ]


def test_page_has_the_cost_of_refusals():
    """The rows are those of the result; the row of the shipped limits is bold."""
    row_form = r"^\| (\**[\d.]+ %\**)[^|]* \| (\d+ %) \| (\d+ %) \|$"
    rows = re.findall(row_form, PAGE, re.MULTILINE)
    found = read_result("uncertainty")["unlearned"]
    assert len(rows) == len(found)
    for (refused, caught, caught_caused), row in zip(rows, found, strict=True):
        expected = f"{row['clean_refused']['share']:.1%}".replace("%", " %")
        is_shipped = row["chosen_share"] == CLEAN_REFUSED_SHARE
        assert refused == (f"**{expected}**" if is_shipped else expected)
        for cell, key in zip((caught, caught_caused), FIGURES, strict=True):
            assert cell == f"{row[key]['share']:.0%}".replace("%", " %")


def test_page_has_the_number_of_exams_with_refused_images():
    """The exams are those of the rows that are not acceptable."""
    with (RESULTS_DIR / "accuracy_test.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    refused = [row["exam"] for row in rows if row["acceptable"] == "False"]
    (counts,) = re.findall(
        r"(\d+) of (\d+); they come from (\d+) of the (\d+) exams", " ".join(PAGE.split())
    )
    exams = {row["exam"] for row in rows}
    assert [int(each) for each in counts] == [
        len(refused),
        len(rows),
        len(set(refused)),
        len(exams),
    ]


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ("the picture alone", "first inference"),
        ("the picture and its mirror image", "mirror image too"),
        ("zoom 0.9", "0.9"),
        ("zoom 0.9, and 0.7 mirrored", "0.9, mirrored 0.7"),
        ("zoom 0.9, and 1.1 mirrored", "0.9, mirrored 1.1"),
        ("**zoom 0.8, and 1.1 mirrored** (ships)", "0.8, mirrored 1.1 (ships)"),
        ("zooms 0.8, 0.9, 1.1, each mirrored and not", "0.8, 0.9, 1.1, each mirrored too"),
    ],
)
def test_page_has_the_table_of_augmentations(row, name):
    """The table of test-time augmentations is that of the result."""
    found = read_result("augmentation")["all"][name]
    assert to_cells(row) == [
        str(len(VARIANTS[name])),
        f"{found['mean_absolute_error_mm']:.2f}",
        f"{found['median_absolute_error_mm']:.2f}",
        f"{found['large_errors_share']:.0%}".replace("%", " %"),
        str(found["no_answer"]),
    ]


def test_page_has_the_table_of_fits_under_shadow():
    """The table of ellipse fits is that of the result."""
    for name, shares in read_result("shadow_calibration")["fits"].items():
        row = f"{name} (ships)" if name == "soft edge" else name
        assert to_cells(row) == [
            f"{each['mean_absolute_error_mm']:.2f}" for each in shares.values()
        ]
