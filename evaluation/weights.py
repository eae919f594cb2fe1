"""Compare checkpoints before export: `python -m evaluation.weights NAME=FILE …`.

Each network measures the calibration exams in torch, float32, through the same pipeline, with
test-time augmentation. A paired test compares each checkpoint with the first. The command never
reads the test exams. It writes the table in `docs/training.md`.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import wilcoxon
from tqdm import tqdm

from evaluation.choices import to_error_mm, to_summary
from harness.documents import replace_block, write_report
from harness.options import add_folder_options
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.geometry import PixelSpacing
from headcirc.pipeline import Pipeline, load_pipeline
from headcirc.quality.augmentation import RunNetwork, infer_with_augmentation
from model_export.parity import to_torch_runner
from training.checkpoint import load_trained, to_file_sha256
from training.data.hc18 import HC18Image, load_part

PAGE, BLOCK = Path("docs/training.md"), "weights"
SMALLEST_P = 0.01
"""Smaller p values are printed as `< 0.01`; with so few images more digits mean nothing."""


def measure_errors_mm(
    run: RunNetwork, pipeline: Pipeline, images: Sequence[HC18Image]
) -> list[float]:
    """Return the error of the head circumference of each image, in mm; NaN without an answer."""
    errors_mm = []
    for image in tqdm(images, "measuring", unit="image", leave=False):
        spacing = PixelSpacing(image.pixel_size_mm, image.pixel_size_mm)
        prepared = pipeline.prepare(image.path.read_bytes(), pixel_spacing=spacing)
        (prediction,) = infer_with_augmentation(run, prepared.network_input, pipeline.manifest)
        errors_mm.append(to_error_mm(pipeline.finish(prepared, prediction), image))
    return errors_mm


def to_paired_p(errors_mm: Sequence[float], first_mm: Sequence[float]) -> float | None:
    """Return Wilcoxon's p for the differences of the absolute errors; None if all are equal.

    Images without an answer from either model are excluded.
    """
    differences_mm = np.abs(errors_mm) - np.abs(first_mm)
    differences_mm = differences_mm[np.isfinite(differences_mm)]
    return float(wilcoxon(differences_mm).pvalue) if np.any(differences_mm) else None


def to_p_text(p: float) -> str:
    """Return a p value with `=` or `<`; it is never printed as zero."""
    return "< 0.01" if p < SMALLEST_P else f"= {p:.2f}"


def compare(paths: Mapping[str, Path], data_dir: Path) -> dict[str, Any]:
    """Return the figures of each checkpoint on calibration exams, and its test against the first.

    The paths are by name; the first checkpoint is the reference.
    """
    pipeline, images = load_pipeline(precision="fp32"), load_part(data_dir, "calibration")
    networks = [load_trained(path) for path in paths.values()]
    errors_mm = [measure_errors_mm(to_torch_runner(each), pipeline, images) for each in networks]
    return {
        "command": "python -m evaluation.weights",
        "data": f"{len(images)} images of HC18's calibration exams, float32, torch",
        "weights": [
            {"name": name, "sha256": to_file_sha256(path), "width": network.width}
            | to_summary(errors)
            | {"p_against_first": to_paired_p(errors, errors_mm[0])}
            for (name, path), network, errors in zip(
                paths.items(), networks, errors_mm, strict=True
            )
        ],
    }


def to_block(report: Mapping[str, Any]) -> str:
    """Return the report as a Markdown table."""
    lines = [
        "| weights | width | mean absolute error, mm | median | signed | worst | no answer | p |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in report["weights"]:
        p = row["p_against_first"]
        p_text = "-" if p is None else to_p_text(p).removeprefix("= ")
        lines.append(
            f"| {row['name']} | {row['width']} | {row['mean_absolute_error_mm']:.2f} "
            f"| {row['median_absolute_error_mm']:.2f} | {row['signed_error_mm']:+.2f} "
            f"| {row['worst_mm']:.1f} | {row['no_answer']} | {p_text} |"
        )
    note = f"{report['data']}; p: Wilcoxon's paired test of the absolute errors, against the first."
    return "\n".join([*lines, "", note])


def to_named_path(text: str) -> tuple[str, Path]:
    """Split `NAME=FILE`; without a name, use the name of the file's folder."""
    name, equals, path = text.rpartition("=")
    return (name, Path(path)) if equals else (Path(text).resolve().parent.name, Path(text))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report and print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.weights", description=__doc__)
    parser.add_argument(
        "weights", type=to_named_path, nargs="+", metavar="NAME=FILE", help="checkpoints"
    )
    add_folder_options(parser, EVALUATION_RESULTS_DIR)
    parser.add_argument("--no-docs", action="store_true", help=f"do not write {PAGE}")
    chosen = parser.parse_args(arguments)
    paths = dict(chosen.weights)
    if len(paths) < len(chosen.weights):
        parser.error("Two checkpoints have the same name. Name each one: NAME=FILE.")

    report = compare(paths, chosen.data)
    write_report(chosen.out / "weights.json", report)
    if not chosen.no_docs:
        PAGE.write_text(replace_block(PAGE.read_text(), BLOCK, to_block(report)))
    print(to_block(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
