"""Write the measured accuracy into `docs/accuracy.md` and the model card.

`python -m evaluation.accuracy_text` reads the JSON files of `evaluation.accuracy` and
`evaluation.phantoms`, and writes the same block between the markers of both documents. No figure
there is typed by hand.
"""

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.documents import replace_block
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.agreement.estimates import ERROR_STATISTICS
from headcirc.model.manifest import load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR

ROOT = Path(__file__).parent.parent
CARD_DIR = ROOT / "models" / "attention-resunet-16"
DOCUMENTS = (ROOT / "docs" / "accuracy.md", CARD_DIR / "README.md")
BLOCK = "accuracy"
PARTS = ("test", "calibration")
FIGURES = {
    "mean_absolute_error_mm": ("HC mean absolute error, mm", 1),
    "median_absolute_error_mm": ("HC median absolute error, mm", 1),
    "bias_mm": ("HC signed error, mm", 1),
    "limit_of_agreement_low_mm": ("lower 95 % limit of agreement, mm", 1),
    "limit_of_agreement_high_mm": ("upper 95 % limit of agreement, mm", 1),
    "absolute_error_95th_percentile_mm": ("95th percentile of the absolute error, mm", 1),
    "ellipse_dice": ("Dice of the ellipse, %", 100),
    "mask_dice": ("Dice of the mask, %", 100),
    "mask_hausdorff_95_mm": ("95 % Hausdorff distance, mm", 1),
    "mask_average_surface_distance_mm": ("average symmetric surface distance, mm", 1),
}
"""The title of each figure, and the factor that converts it to the title's unit."""
BIN_FIGURES = ("mean_absolute_error_mm", "median_absolute_error_mm", "bias_mm")
Report = Mapping[str, Any]


def to_block(
    reports: Mapping[str, Report],
    rows: Sequence[Mapping[str, str]],
    phantoms: Report,
    shipped_version: str,
) -> str:
    """Return the Markdown of all figures.

    Parameters
    ----------
    reports : mapping
        The report of `evaluation.accuracy` for each part of HC18.
    rows : sequence of mapping
        The rows of `accuracy_test.csv`, one per image.
    phantoms : mapping
        The report of `evaluation.phantoms`.
    shipped_version : str
        Version of the shipped model.
    """
    model = reports["test"]["model"]
    return "\n\n".join(
        (
            f"`{model['name']}` {model['version']}, {model['precision']}, {model['backend']}, on "
            f"{reports['test']['machine']['cpu']}; measured {reports['test']['date'][:10]}. "
            + to_provenance(model["version"], shipped_version),
            to_summary_table(reports),
            to_verdict(reports["test"]),
            to_acceptable_line(rows),
            "Errors by size of the head, on the test exams (a band of six images proves little):",
            to_bin_table(reports["test"]["bins"]),
            to_phantom_line(phantoms),
        )
    )


def to_provenance(measured_version: str, shipped_version: str) -> str:
    """Return a sentence on which weights were measured and which ship."""
    if measured_version == shipped_version:
        return "These are the shipped weights."
    return (
        f"These are figures of version {measured_version}, the split model "
        "(`models/attention-resunet-16-split`). It never saw a calibration or test exam. Version "
        f"{shipped_version} ships. It was trained by the same recipe, but its last runs used "
        "**all** exams, so no exam is left to measure it on."
    )


def to_summary_table(reports: Mapping[str, Report]) -> str:
    """Return a table with a row for each figure and a column for each part."""
    titles = [
        f"{part}: {reports[part]['data']['images']} images, {reports[part]['data']['exams']} exams"
        for part in PARTS
    ]
    lines = [
        f"| figure (95 % interval, bootstrap over exams) | {' | '.join(titles)} |",
        "|---" * (len(PARTS) + 1) + "|",
    ]
    for name, (title, factor) in FIGURES.items():
        figures = [reports[part]["summary"]["figures"][name] for part in PARTS]
        cells = (
            f"{each['value'] * factor:.2f} "
            f"({each['low'] * factor:.2f} to {each['high'] * factor:.2f})"
            for each in figures
        )
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def to_verdict(report: Report) -> str:
    """Return the worst error, the number of images without an answer, and the limits."""
    summary = report["summary"]
    without = len(summary["without_answer"])
    checks = [
        f"{check['figure'].replace('_', ' ')} {check['value']:.4g} "
        f"({check['relation']} {check['floor']:g}: {'met' if check['met'] else '**not met**'})"
        for check in report["floors"]["checks"]
    ]
    worst_mm = summary["figures"]["worst_absolute_error_mm"]["value"]
    answers = "every image got an answer" if not without else f"{without} got no answer"
    return (
        f"Worst test image: {worst_mm:.1f} mm; {answers}; {len(summary['not_acceptable'])} are "
        f"marked as not acceptable. The project's limits: {'; '.join(checks)}."
    )


def to_acceptable_line(rows: Sequence[Mapping[str, str]]) -> str:
    """Return a sentence on the errors of acceptable answers and of the others."""
    figures = []
    for acceptable in ("True", "False"):
        answered = [row for row in rows if row["acceptable"] == acceptable and row["error_mm"]]
        errors_mm = np.array([float(row["error_mm"]) for row in answered])
        mean_mm, bias_mm = (
            ERROR_STATISTICS[name](errors_mm) for name in ("mean_absolute_error_mm", "bias_mm")
        )
        figures.append((len(answered), mean_mm, bias_mm, np.abs(errors_mm).max()))
    return (
        "The {} test answers marked as acceptable: mean absolute error {:.2f} mm, signed error "
        "{:+.2f} mm, worst {:.1f} mm. The {} others: {:.2f} mm, {:+.2f} mm, worst {:.1f} mm."
    ).format(*figures[0], *figures[1])


def to_bin_table(bins: list[Mapping[str, Any]]) -> str:
    """Return a table with a row for each band of true circumference."""
    lines = [
        "| true HC, mm | images | mean absolute error, mm | median, mm | signed error, mm |",
        "|---|---|---|---|---|",
    ]
    for each in bins:
        high_mm = each["high_mm"]
        band = f"{each['low_mm']:.0f} " + ("and more" if high_mm is None else f"to {high_mm:.0f}")
        values = [each["errors"][name]["value"] for name in BIN_FIGURES]
        shown = [
            "-" if value is None else f"{value:{form}}"
            for value, form in zip(values, (".2f", ".2f", "+.2f"), strict=True)
        ]
        lines.append(f"| {band} | {each['images']} | {' | '.join(shown)} |")
    return "\n".join(lines)


def to_phantom_line(phantoms: Report) -> str:
    """Return a sentence on the errors on the drawn phantoms."""
    summary = phantoms["summary"]
    return (
        f"Version {phantoms['model']['version']} on {summary['n']} drawn phantoms, on which it was "
        f"not trained: mean absolute error "
        f"{summary['mean_absolute_error_mm']:.1f} mm, signed error "
        f"{summary['signed_error_mm']:+.1f} mm, worst {summary['worst_mm']:.1f} mm, not measured "
        f"{summary['not_measured']} (`python -m evaluation.phantoms`)."
    )


def read_block() -> str:
    """Return the block for the committed results."""
    reports = {
        part: json.loads((EVALUATION_RESULTS_DIR / f"accuracy_{part}.json").read_text())
        for part in PARTS
    }
    with (EVALUATION_RESULTS_DIR / "accuracy_test.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    phantoms = json.loads((EVALUATION_RESULTS_DIR / "phantoms.json").read_text())
    return to_block(reports, rows, phantoms, load_manifest(SHIPPED_MODEL_DIR).version)


def main() -> int:
    """Write the block into both documents."""
    block = read_block()
    for path in DOCUMENTS:
        path.write_text(replace_block(path.read_text(), BLOCK, block))
    return 0


if __name__ == "__main__":
    sys.exit(main())
