"""Measure the served model on a part of HC18: `python -m evaluation.accuracy --part test`.

The command sends every image to the real service over HTTP. The areas under the curves need the
probability map, which no route returns, so this process computes it with the same model. The
command refuses a model that was trained on the part; the default model was not. It reads the test
exams only with `--part test`.

Exit status 0: measured and, on the test part, every floor met; 1: a floor is not met; 2: the
measurement failed.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import httpx
from tqdm import tqdm

from evaluation.accuracy_plots import plot_bland_altman, plot_errors_by_bin
from evaluation.accuracy_summary import (
    ImageResult,
    fill_ellipse,
    judge_floors,
    summarise,
    summarise_bins,
    to_area_columns,
    to_image_result,
    to_markdown,
)
from evaluation.metrics import BoolMask, measure_areas_under_curves
from evaluation.unseen_exams import SPLIT_MODEL_DIR, TrainedOnError, require_unseen
from harness.documents import write_report
from harness.machine import describe_machine, to_timestamp
from harness.options import add_folder_options, add_model_option
from harness.paths import EVALUATION_RESULTS_DIR
from harness.served import REQUEST_TIMEOUT_S, ServiceFailedError, ask, fetch_model, serve
from headcirc.agreement.estimates import INTERVAL_LEVEL, RESAMPLES, SEED
from headcirc.errors import HeadCircumferenceError
from headcirc.mask import to_frame_grid
from headcirc.pipeline import Pipeline, load_pipeline
from training.data.hc18 import HC18Image, load_part, load_pixels, to_true_ellipse

SCHEMA_VERSION = 1
EXIT_MEASURED, EXIT_BELOW_FLOOR, EXIT_FAILED = 0, 1, 2
LEAKAGE_NOTE = (
    "Split by exam. HC18 publishes no patient number (551 women, 806 exams), so the same woman may "
    "be on both sides of the split: patient-level leakage cannot be excluded."
)
METHOD_NOTES = {
    "truth": "the ellipse fitted to the annotation's outline, filled; circumference: HC18's table",
    "without_answer": "counts as Dice 0; excluded from the errors in mm and from the distances",
    "interval": f"bootstrap over exams, {RESAMPLES} resamples, seed {SEED}, level {INTERVAL_LEVEL}",
    "auc": "mean over images; probability map of the same model, run in the measuring process",
}


def load_truth(image: HC18Image) -> BoolMask:
    """Return the filled true ellipse of an image, on the frame's grid."""
    annotation = load_pixels(image.annotation_path)
    return fill_ellipse(to_true_ellipse(annotation), *annotation.shape)


def measure_served(client: httpx.Client, images: Sequence[HC18Image]) -> list[ImageResult]:
    """Measure each image with the service and compare the answers with the truth."""
    return [
        to_image_result(
            image, load_truth(image), ask(client, image.path.read_bytes(), image.pixel_size_mm)
        )
        for image in tqdm(images, "measuring", unit="image")
    ]


def load_served_pipeline(model_dir: Path, served: dict[str, Any]) -> Pipeline:
    """Load the served model into this process, on the service's backend.

    Raises
    ------
    ServiceFailedError
        The service runs another model than the one in `model_dir`.
    """
    pipeline = load_pipeline(model_dir, backend=served["backend"], precision=served["precision"])
    here = {"sha256": pipeline.graph.sha256, "precision": pipeline.backend.precision}
    if any(served[key] != value for key, value in here.items()):
        raise ServiceFailedError(
            f"The service runs {served['name']} {served['precision']} ({served['sha256'][:12]}), "
            f"but --model is {here['precision']} ({here['sha256'][:12]}). "
            "Set --model to the folder of the served model."
        )
    return pipeline


def add_areas(
    rows: Sequence[ImageResult], images: Sequence[HC18Image], pipeline: Pipeline
) -> list[ImageResult]:
    """Add the areas under the curves, computed from the served model's probabilities."""
    measured = []
    for row, image in zip(rows, tqdm(images, "areas under curves", unit="image"), strict=True):
        prepared = pipeline.prepare(image.path.read_bytes())
        (prediction,) = pipeline.infer(prepared.network_input)
        probabilities = to_frame_grid(prediction.probability_map, prepared.mapping)
        areas = measure_areas_under_curves(probabilities, load_truth(image))
        measured.append(replace(row, **to_area_columns(areas)))
    return measured


def to_report(
    rows: Sequence[ImageResult], part: str, served: dict[str, Any], command: str
) -> dict[str, Any]:
    """Return the content of `accuracy_{part}.json`; only the test part has a verdict."""
    summary = summarise(rows)
    return {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "date": to_timestamp(),
        "machine": describe_machine(),
        "model": served,
        "data": {
            "name": "HC18",
            "part": part,
            "images": len(rows),
            "exams": len({row.exam for row in rows}),
            "note": LEAKAGE_NOTE,
        },
        "method": METHOD_NOTES,
        "summary": summary,
        "bins": summarise_bins(rows),
        "floors": judge_floors(summary) if part == "test" else None,
    }


def write_results(rows: Sequence[ImageResult], report: dict[str, Any], out_dir: Path) -> None:
    """Write `accuracy_{part}.json`, `.csv` and the two plots."""
    part = report["data"]["part"]
    write_report(out_dir / f"accuracy_{part}.json", report)
    with (out_dir / f"accuracy_{part}.csv").open("w", newline="") as table:
        columns = [field.name for field in fields(ImageResult)]
        writer = csv.DictWriter(table, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    bins = report["bins"]
    plot_bland_altman(rows, report["summary"], bins, out_dir / f"bland_altman_{part}.png")
    plot_errors_by_bin(rows, bins, out_dir / f"error_by_bin_{part}.png")


def to_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.accuracy", description=__doc__)
    parser.add_argument("--part", choices=("calibration", "test"), required=True)
    parser.add_argument("--server", help="address of a running service; default: start one")
    add_model_option(parser, SPLIT_MODEL_DIR)
    parser.add_argument("--backend", default="auto", help="backend of the started service")
    parser.add_argument("--precision", default="auto", help="precision of the started service")
    add_folder_options(parser, EVALUATION_RESULTS_DIR)
    return parser


def measure(chosen: argparse.Namespace) -> tuple[list[ImageResult], dict[str, Any]]:
    """Measure the chosen part with the chosen model; return its rows and its report."""
    require_unseen(chosen.model, chosen.part)
    images = load_part(chosen.data, chosen.part)
    if chosen.server:
        starting = nullcontext(chosen.server)
    else:
        starting = serve(chosen.model, chosen.backend, chosen.precision)
    with starting as url, httpx.Client(base_url=url, timeout=REQUEST_TIMEOUT_S) as client:
        served = fetch_model(client)
        pipeline = load_served_pipeline(chosen.model, served)
        rows = measure_served(client, images)
    rows = add_areas(rows, images, pipeline)
    command = f"python -m evaluation.accuracy --part {chosen.part}"
    for option in ("model", "backend", "precision"):
        value = getattr(chosen, option)
        command += "" if value in ("auto", SPLIT_MODEL_DIR) else f" --{option} {value}"
    return rows, to_report(rows, chosen.part, served, command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the results and print the tables; return the exit status."""
    chosen = to_parser().parse_args(arguments)
    try:
        rows, report = measure(chosen)
    except (
        ServiceFailedError,
        TrainedOnError,
        HeadCircumferenceError,
        OSError,
        httpx.HTTPError,
    ) as error:
        print(f"evaluation.accuracy: {error}", file=sys.stderr)
        return EXIT_FAILED
    write_results(rows, report, chosen.out)
    print(to_markdown(report["summary"], report["bins"]))
    without_answer = report["summary"]["without_answer"]
    print(f"\nwithout answer: {len(without_answer)} {' '.join(without_answer)}")
    floors = report["floors"]
    if floors is None:
        return EXIT_MEASURED
    for check in floors["checks"]:
        verdict = "met" if check["met"] else "NOT MET"
        print(f"{check['figure']} {check['relation']} {check['floor']:g}: {verdict}")
    return EXIT_MEASURED if floors["met"] else EXIT_BELOW_FLOOR


if __name__ == "__main__":
    sys.exit(main())
