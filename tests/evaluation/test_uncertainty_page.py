"""Compare the tables of `docs/uncertainty.md` that are typed by hand with the results."""

import json
import re
from pathlib import Path

import pytest

from evaluation.augmentation import VARIANTS

RESULTS_DIR = Path("evaluation/results")
PAGE = Path("docs/uncertainty.md").read_text()


def read_result(name: str) -> dict:
    """Return a report of the evaluation."""
    return json.loads((RESULTS_DIR / f"{name}.json").read_text())


def to_cells(row: str) -> list[str]:
    """Return the cells of the row of the page that starts with a title."""
    (line,) = re.findall(rf"^\| {re.escape(row)} \|(.*)\|$", PAGE, flags=re.MULTILINE)
    return [cell.strip() for cell in line.split("|")]


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ("**the picture alone** (ships)", "first inference"),
        ("the picture and its mirror image", "mirror image too"),
        ("zoom 0.9", "0.9"),
        ("zoom 0.9, and 0.7 mirrored", "0.9, mirrored 0.7"),
        ("zoom 0.9, and 1.1 mirrored", "0.9, mirrored 1.1"),
        ("zoom 0.8, and 1.1 mirrored", "0.8, mirrored 1.1"),
        ("zooms 0.8, 0.9, 1.1, each mirrored and not", "0.8, 0.9, 1.1, each mirrored too"),
    ],
)
def test_page_has_the_table_of_augmentations(row, name):
    """The table of test-time augmentations is that of the result."""
    every = read_result("augmentation")["all"]
    found = every.get(name) or every[f"{name} (ships)"]
    assert (f"{name} (ships)" in every) == ("(ships)" in row)
    assert to_cells(row) == [
        str(len(VARIANTS[name])),
        f"{found['mean_absolute_error_mm']:.2f}",
        f"{found['median_absolute_error_mm']:.2f}",
        f"{found['large_errors_share']:.0%}".replace("%", " %"),
        str(found["no_answer"]),
    ]


def test_page_has_the_table_of_fits_under_shadow():
    """The table of ellipse fits is that of the result."""
    for name, shares in read_result("shadow")["fits"].items():
        row = f"{name} (ships)" if name == "soft edge" else name
        assert to_cells(row) == [
            f"{each['mean_absolute_error_mm']:.2f}" for each in shares.values()
        ]
