"""Decide whether the INT8 graph may ship: `python -m evaluation.acceptance --model DIR`.

The command sends the calibration exams to the real service over HTTP: once with float32 in ONNX
Runtime, which is the reference, and once with INT8 in each CPU runtime. It accepts INT8 if all of
these hold:

- the mean absolute error rises by at most 0.05 mm;
- the ellipse Dice falls by at most 0.05 points;
- the circumference differs by at most 0.5 mm at the 95th percentile, and by at most 2 mm;
- no image gains or loses its head;
- the probability of a head plane, if the network has this output, differs by at most 0.1; its two
  limits lie further apart.

Exit status 0: accepted; 1: refused; 2: the measurement failed.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from evaluation.accuracy import LEAKAGE_NOTE, measure_served
from evaluation.accuracy_summary import ImageResult
from harness.documents import write_report
from harness.machine import describe_machine, to_timestamp
from harness.options import add_folder_options, add_model_option
from harness.paths import EVALUATION_RESULTS_DIR
from harness.served import REQUEST_TIMEOUT_S, ServiceFailedError, fetch_model, serve
from headcirc.backends.base import (
    SAME_ANSWERS_95TH_PERCENTILE_MM,
    SAME_ANSWERS_LARGEST_MM,
)
from headcirc.errors import HeadCircumferenceError
from headcirc.model.manifest import load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR
from training.data.hc18 import HC18Image, load_part

REFERENCE = ("onnxruntime", "fp32")
CANDIDATES = (("openvino", "int8"), ("onnxruntime", "int8"))
PART = "calibration"
RESULT_NAME = "acceptance_int8.json"
EXIT_ACCEPTED, EXIT_REFUSED, EXIT_FAILED = 0, 1, 2
LIMITS = {
    "mean_absolute_error_rise_mm": 0.05,
    "ellipse_dice_fall": 0.0005,
    "difference_95th_percentile_mm": SAME_ANSWERS_95TH_PERCENTILE_MM,
    "largest_difference_mm": SAME_ANSWERS_LARGEST_MM,
    "images_with_another_verdict": 0.0,
    "largest_head_plane_difference": 0.1,
}
"""The largest allowed difference between a candidate and the reference."""


class NotComparableError(Exception):
    """Candidate and reference have no answer in common."""


@dataclass(frozen=True)
class Run:
    """The answers of one engine.

    Attributes
    ----------
    model : dict
        The model as the service describes it.
    rows : list of ImageResult
    """

    model: dict[str, Any]
    rows: list[ImageResult]

    @property
    def mean_absolute_error_mm(self) -> float:
        """Return the mean absolute error of the images that have an answer."""
        return float(np.mean([abs(row.error_mm) for row in self.rows if row.error_mm is not None]))

    @property
    def ellipse_dice(self) -> float:
        """Return the mean ellipse Dice of all images; an image without an answer counts as 0."""
        return float(np.mean([row.ellipse_dice for row in self.rows]))


def run_engine(model_dir: Path, engine: tuple[str, str], images: Sequence[HC18Image]) -> Run:
    """Serve a model on one engine and measure each image with it."""
    backend, precision = engine
    with (
        serve(model_dir, backend, precision) as url,
        httpx.Client(base_url=url, timeout=REQUEST_TIMEOUT_S) as client,
    ):
        return Run(fetch_model(client), measure_served(client, images))


def compare(candidate: Run, reference: Run) -> dict[str, float]:
    """Return the figures that have a limit in `LIMITS`.

    Raises
    ------
    NotComparableError
        No image has an answer of both.
    """
    pairs = [
        (ours.measured_hc_mm, theirs.measured_hc_mm)
        for ours, theirs in zip(candidate.rows, reference.rows, strict=True)
    ]
    differences_mm = [abs(a - b) for a, b in pairs if a is not None and b is not None]
    if not differences_mm:
        raise NotComparableError(
            "No image was measured in both precisions, so they cannot be compared. Check the "
            "float32 network first: does it find heads?"
        )
    planes = [
        (ours.head_plane_probability, theirs.head_plane_probability)
        for ours, theirs in zip(candidate.rows, reference.rows, strict=True)
    ]
    plane_differences = [abs(a - b) for a, b in planes if a is not None and b is not None]
    changed_verdicts = sum((a is None) != (b is None) for a, b in pairs)
    return {
        "mean_absolute_error_rise_mm": (
            candidate.mean_absolute_error_mm - reference.mean_absolute_error_mm
        ),
        "ellipse_dice_fall": reference.ellipse_dice - candidate.ellipse_dice,
        "difference_95th_percentile_mm": float(np.percentile(differences_mm, 95)),
        "largest_difference_mm": max(differences_mm),
        "images_with_another_verdict": float(changed_verdicts),
        "largest_head_plane_difference": max(plane_differences, default=0.0),
    }


def judge(figures: Mapping[str, float]) -> dict[str, bool]:
    """Return whether each figure is within its limit; NaN is not."""
    return {name: figures[name] <= limit for name, limit in LIMITS.items()}


def to_report(
    reference: Run, candidates: Sequence[Run], *, trained_on: Sequence[str]
) -> dict[str, Any]:
    """Return the content of `acceptance_int8.json`.

    If the weights were `trained_on` these exams, the errors are training figures. They then
    compare the engines only, and do not describe the accuracy on other exams.
    """
    compared = []
    for run in candidates:
        figures = compare(run, reference)
        compared.append(_describe(run) | {"figures": figures, "within": judge(figures)})
    exams = len({row.exam for row in reference.rows})
    data = {"name": "HC18", "part": PART, "images": len(reference.rows), "exams": exams}
    return {
        "schema_version": 1,
        "command": "python -m evaluation.acceptance",
        "date": to_timestamp(),
        "machine": describe_machine(),
        "data": data | {"note": LEAKAGE_NOTE, "are_training_figures": PART in trained_on},
        "limits": LIMITS,
        "reference": _describe(reference),
        "candidates": compared,
        "accepted": all(all(each["within"].values()) for each in compared),
    }


def _describe(run: Run) -> dict[str, Any]:
    return {
        "model": run.model,
        "mean_absolute_error_mm": run.mean_absolute_error_mm,
        "ellipse_dice": run.ellipse_dice,
    }


def to_text(report: Mapping[str, Any]) -> str:
    """Return the verdict as lines of text."""
    reference = report["reference"]
    lines = [
        f"reference: HC error {reference['mean_absolute_error_mm']:.3f} mm, "
        f"ellipse Dice {reference['ellipse_dice']:.5f}"
    ]
    for each in report["candidates"]:
        model = each["model"]
        lines.append(f"{model['backend']} {model['precision']}:")
        lines += [
            f"  {name} {value:.5f} (at most {LIMITS[name]:g}): "
            f"{'within' if each['within'][name] else 'NOT WITHIN'}"
            for name, value in each["figures"].items()
        ]
    return "\n".join([*lines, "accepted" if report["accepted"] else "REFUSED"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the result and print the verdict; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.acceptance", description=__doc__)
    add_model_option(parser, SHIPPED_MODEL_DIR)
    add_folder_options(parser, EVALUATION_RESULTS_DIR)
    chosen = parser.parse_args(arguments)
    try:
        images = load_part(chosen.data, PART)
        trained_on = load_manifest(chosen.model).trained_on
        reference = run_engine(chosen.model, REFERENCE, images)
        candidates = [run_engine(chosen.model, engine, images) for engine in CANDIDATES]
        report = to_report(reference, candidates, trained_on=trained_on)
    except (
        ServiceFailedError,
        HeadCircumferenceError,
        OSError,
        httpx.HTTPError,
        NotComparableError,
    ) as error:
        print(f"evaluation.acceptance: {error}", file=sys.stderr)
        return EXIT_FAILED
    write_report(chosen.out / RESULT_NAME, report)
    print(to_text(report))
    return EXIT_ACCEPTED if report["accepted"] else EXIT_REFUSED


if __name__ == "__main__":
    sys.exit(main())
