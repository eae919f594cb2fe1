"""Compare two models that measured the same images: `python -m evaluation.side_by_side`.

The command reads the reports of `evaluation.accuracy` and writes a table between the markers of
the second model's card. The first model is always the split model of width 16. The command needs
no images.
"""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.accuracy_summary import to_bin_label
from evaluation.metrics import to_paired_p
from evaluation.out_of_fold.text import FIGURES as ACCURACY_TITLES
from harness.documents import replace_block
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.agreement.estimates import Estimate, estimate

OTHERS = ("attention-resunet-12", "attention-resunet-64")
"""Other models in the repository; their results are in folders of the same name."""
BLOCK = "side-by-side"
PARTS = ("test", "calibration")
SMALLEST_P = 0.01
"""Smaller p values are printed as `< 0.01`; with so few images more digits mean nothing."""
FIGURES = (
    "mean_absolute_error_mm", "median_absolute_error_mm", "bias_mm", "worst_absolute_error_mm",
    "ellipse_dice", "mask_hausdorff_95_mm",
)  # fmt: skip
TITLES = ACCURACY_TITLES | {"worst_absolute_error_mm": ("worst, mm", 1)}
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """The results of one model on one part.

    Attributes
    ----------
    report : dict
    names : list of str
        Names of the images.
    exams : list of int
        The exam of each image.
    errors_mm : (n,) float64
        Signed error of each image; NaN without an answer.
    """

    report: dict[str, Any]
    names: list[str]
    exams: list[int]
    errors_mm: Array

    @property
    def title(self) -> str:
        """Return the model's name, version and precision."""
        model = self.report["model"]
        return f"{model['name']} {model['version']}, {model['precision']}"


def read_measured(folder: Path, part: str) -> Measured:
    """Read the results of `evaluation.accuracy` from a folder."""
    report = json.loads((folder / f"accuracy_{part}.json").read_text())
    with (folder / f"accuracy_{part}.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    errors_mm = np.array([float(row["error_mm"] or "nan") for row in rows])
    names, exams = [row["name"] for row in rows], [int(row["exam"]) for row in rows]
    return Measured(report, names, exams, errors_mm)


def to_rise(first: Measured, second: Measured) -> Estimate:
    """Return the mean difference of the absolute errors, second minus first.

    The interval comes from a bootstrap over exams.

    Raises
    ------
    ValueError
        The models did not measure the same images.
    """
    if first.names != second.names:
        raise ValueError("The models did not measure the same images. Measure both again.")
    return estimate(np.abs(second.errors_mm) - np.abs(first.errors_mm), first.exams)


def to_p_text(p: float) -> str:
    """Return a p value with `=` or `<`; it is never printed as zero."""
    return "< 0.01" if p < SMALLEST_P else f"= {p:.2f}"


def to_correlation(first: Measured, second: Measured) -> float:
    """Return Pearson's correlation of the signed errors on images that both models answered."""
    both_mm = np.stack((first.errors_mm, second.errors_mm))
    return float(np.corrcoef(both_mm[:, np.isfinite(both_mm).all(axis=0)])[0, 1])


def to_part_table(first: Measured, second: Measured, part: str) -> str:
    """Return the table of one part: figures of both models, errors by size, and the difference."""
    both, rise = (first, second), to_rise(first, second)
    p = to_paired_p(second.errors_mm, first.errors_mm)
    lines = [
        f"| {part}: {len(first.names)} images | {first.title} | {second.title} |",
        "|---|---|---|",
    ]
    for name in FIGURES:
        title, factor = TITLES[name]
        values = (factor * each.report["summary"]["figures"][name]["value"] for each in both)
        lines.append(f"| {title} | {' | '.join(f'{value:.2f}' for value in values)} |")
    unanswered = (str(len(each.report["summary"]["without_answer"])) for each in both)
    lines.append(f"| images without an answer | {' | '.join(unanswered)} |")
    for bands in zip(first.report["bins"], second.report["bins"], strict=True):
        errors = (band["errors"]["mean_absolute_error_mm"]["value"] for band in bands)
        label, images = to_bin_label(bands[0]), bands[0]["images"]
        title = f"mean absolute error, {label} mm ({images} images)"
        lines.append(f"| {title} | {' | '.join(f'{value:.2f}' for value in errors)} |")
    test = "all errors are equal" if p is None else f"Wilcoxon's paired test: p {to_p_text(p)}"
    return "\n".join(
        [
            *lines,
            "",
            f"Second minus first, mean of the absolute errors: {rise.value:+.2f} mm "
            f"({rise.low:+.2f} to {rise.high:+.2f}, bootstrap over exams); {test}. The signed "
            f"errors of the two correlate at {to_correlation(first, second):.2f}.",
        ]
    )


def to_card(name: str) -> Path:
    """Return the path of the model card of one of `OTHERS`."""
    return Path("models") / name / "README.md"


def to_block(name: str, results_dir: Path = EVALUATION_RESULTS_DIR) -> str:
    """Return the tables of all parts that compare a model with the split model."""
    return "\n\n".join(
        to_part_table(
            read_measured(results_dir, part), read_measured(results_dir / name, part), part
        )
        for part in PARTS
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables into the model cards and print them; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.side_by_side", description=__doc__)
    parser.parse_args(arguments)
    for name in OTHERS:
        card, block = to_card(name), to_block(name)
        card.write_text(replace_block(card.read_text(), BLOCK, block))
        print(f"{card}\n\n{block}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
