"""Weights beside weights, before any is exported: `python -m benchmarks.weights FILE FILE …`.

Each network measures the calibration exams in torch, float32, through the same corridor, second
look included; a paired test holds each against the first. The test exams are never read here.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon
from tqdm import tqdm

from benchmarks.choices import to_error_mm, to_summary
from benchmarks.documents import write_report
from benchmarks.paths import DEFAULT_DATA_DIR, DEFAULT_OUT_DIR
from headcirc.geometry import PixelSpacing
from headcirc.pipeline import Pipeline, load_pipeline
from headcirc.second_look import infer_carefully
from model_export.parity import to_torch_runner
from training.hc18 import HC18Image, load_part
from training.weights import load_trained, to_file_sha256

Array = NDArray[np.float32]


def measure_errors_mm(
    run: Callable[[Array], Array], pipeline: Pipeline, images: Sequence[HC18Image]
) -> list[float]:
    """Return each image's error of the head circumference, in mm; NaN without an answer."""
    errors_mm = []
    for image in tqdm(images, "measuring", unit="image", leave=False):
        spacing = PixelSpacing(image.pixel_size_mm, image.pixel_size_mm)
        prepared = pipeline.prepare(image.path.read_bytes(), pixel_spacing=spacing)
        threshold = pipeline.manifest.mask.threshold
        probability_map = infer_carefully(run, prepared.network_input, threshold)[0]
        errors_mm.append(to_error_mm(pipeline.finish(prepared, probability_map), image))
    return errors_mm


def to_paired_p(errors_mm: Sequence[float], first_mm: Sequence[float]) -> float | None:
    """Return Wilcoxon's p of the absolute errors' differences; None where all are equal.

    An image that either did not answer is left out.
    """
    differences_mm = np.abs(errors_mm) - np.abs(first_mm)
    differences_mm = differences_mm[np.isfinite(differences_mm)]
    return float(wilcoxon(differences_mm).pvalue) if np.any(differences_mm) else None


def compare(paths: Sequence[Path], data_dir: Path) -> dict[str, Any]:
    """Return every checkpoint's figures on calibration exams, and its test against the first."""
    pipeline, images = load_pipeline(precision="fp32"), load_part(data_dir, "calibration")
    networks = [load_trained(path) for path in paths]
    errors_mm = [measure_errors_mm(to_torch_runner(each), pipeline, images) for each in networks]
    return {
        "command": "python -m benchmarks.weights",
        "data": f"{len(images)} images of HC18's calibration exams, float32, torch",
        "weights": [
            {"sha256": to_file_sha256(path), "width": network.width}
            | to_summary(errors)
            | {"p_against_first": to_paired_p(errors, errors_mm[0])}
            for path, network, errors in zip(paths, networks, errors_mm, strict=True)
        ],
    }


def to_line(row: dict[str, Any]) -> str:
    """Return a row of the report for people."""
    p = row["p_against_first"]
    return (
        f"width {row['width']}, {row['sha256'][:12]}: mean absolute error "
        f"{row['mean_absolute_error_mm']:.2f} mm, median {row['median_absolute_error_mm']:.2f}, "
        f"signed {row['signed_error_mm']:+.2f}, worst {row['worst_mm']:.1f}, without answer "
        f"{row['no_answer']}" + ("" if p is None else f"; against the first p = {p:.2f}")
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weights", description=__doc__)
    parser.add_argument("weights", type=Path, nargs="+", help="checkpoints (safetensors)")
    parser.add_argument("--data", type=Path, default=Path(DEFAULT_DATA_DIR), help="HC18's folder")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT_DIR, help="folder for the result")
    chosen = parser.parse_args(arguments)
    report = compare(chosen.weights, chosen.data)
    write_report(chosen.out / "weights.json", report)
    for row in report["weights"]:
        print(to_line(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
