"""Compare sets of test-time augmentations: `python -m evaluation.augmentation`.

The command measures training and calibration images, clean and degraded, with the model that was
trained on the train part only. It measures each image that the network is unsure about twice: from
the first inference, and from the mean over several augmented copies. It never reads the test exams.
With `--folds DIR`, each image is measured by the network of the fold that holds it out.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from evaluation.choices import to_error_mm, to_summary
from evaluation.degradations import degrade_all
from evaluation.out_of_fold.case import CLEAN, prepare_pixels
from evaluation.out_of_fold.models import load_held_out
from evaluation.unseen_exams import SPLIT_MODEL_DIR
from harness.documents import write_report
from harness.machine import to_report_header
from harness.options import add_every_option, add_folder_options, add_model_option
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.geometry import PixelSpacing
from headcirc.model.prediction import Prediction
from headcirc.pipeline import Pipeline, load_pipeline
from headcirc.quality.augmentation import (
    AUGMENTATIONS,
    Augmentation,
    average_copies,
    needs_augmentation,
)
from training.data.hc18 import HC18Image, load_part, load_pixels, to_true_ellipse

PARTS = ("train", "calibration")
LARGE_ERROR_MM = 5.0
FIRST = "first inference"
BOTH = (False, True)
VARIANTS: dict[str, tuple[Augmentation, ...]] = {
    FIRST: ((False, 1.0),),
    "mirror image too": ((False, 1.0), (True, 1.0)),
    "0.9": ((False, 0.9),),
    "0.9, mirrored 0.7": ((False, 0.9), (True, 0.7)),
    "0.9, mirrored 1.1": ((False, 0.9), (True, 1.1)),
    "0.8, mirrored 1.1 (ships)": AUGMENTATIONS,
    "0.8, 0.9, 1.1, each mirrored too": tuple(product(BOTH, (0.8, 0.9, 1.1))),
}


def measure(
    measured: Sequence[tuple[Pipeline, HC18Image]],
) -> dict[str, dict[str, list[float]]]:
    """Return the errors in mm of unsure images, by kind of degradation and by variant."""
    errors_mm: dict[str, dict[str, list[float]]] = {}
    for pipeline, image in tqdm(measured, "measuring", unit="image", mininterval=10):
        pixels = load_pixels(image.path)
        spacing = PixelSpacing(image.pixel_size_mm, image.pixel_size_mm)
        head = to_true_ellipse(load_pixels(image.annotation_path))
        degraded = [
            (kind, picture) for kind, _, picture, _ in degrade_all(pixels, head, image.name)
        ]
        for kind, picture in [(CLEAN, pixels), *degraded]:
            prepared = prepare_pixels(pipeline, picture, spacing)
            first = pipeline.backend.infer(prepared.network_input)[0]
            if not needs_augmentation(first, pipeline.manifest):
                continue
            variant_errors_mm = errors_mm.setdefault(kind, {name: [] for name in VARIANTS})
            for name, augmentations in VARIANTS.items():
                averaged = average_copies(
                    pipeline.backend.infer, prepared.network_input[0, 0], augmentations
                )
                prediction = Prediction(averaged, first.head_plane_probability)
                error_mm = to_error_mm(pipeline.finish(prepared, prediction), image)
                variant_errors_mm[name].append(error_mm)
    return errors_mm


def to_figures(errors_mm: Sequence[float]) -> dict[str, Any]:
    """Return the summary of one variant, with the share of large errors."""
    known_mm = np.abs([error for error in errors_mm if np.isfinite(error)])
    share = float((known_mm > LARGE_ERROR_MM).mean())
    return to_summary(list(errors_mm)) | {"large_errors_share": share}


def to_summaries(errors_mm: Mapping[str, Mapping[str, list[float]]]) -> dict[str, Any]:
    """Return the figures of all unsure images together, and by kind of degradation."""
    kinds = {
        kind: {name: to_figures(errors) for name, errors in variants.items()}
        for kind, variants in errors_mm.items()
    }
    every = {
        name: to_figures([error for each in errors_mm.values() for error in each[name]])
        for name in VARIANTS
    }
    unsure = {kind: len(each[FIRST]) for kind, each in errors_mm.items()}
    return {"unsure": unsure, "all": every, "kinds": kinds}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report and print a summary; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.augmentation", description=__doc__)
    add_model_option(parser, SPLIT_MODEL_DIR)
    add_folder_options(parser, EVALUATION_RESULTS_DIR)
    add_every_option(parser)
    parser.add_argument("--folds", type=Path, help="folder of the folds' models")
    chosen = parser.parse_args(arguments)
    command = "python -m evaluation.augmentation"
    if chosen.folds:
        measured, command = load_held_out(chosen.folds, chosen.data), f"{command} --folds DIR"
    else:
        split = load_pipeline(chosen.model)
        measured = [(split, each) for part in PARTS for each in load_part(chosen.data, part)]
    measured = measured[:: chosen.every]
    header = to_report_header(measured[0][0], command, every=chosen.every)
    summaries = to_summaries(measure(measured))
    report = header | {"images": len(measured)} | summaries
    write_report(chosen.out / "augmentation.json", report)
    for name, figures in summaries["all"].items():
        print(
            f"{name}: mean absolute error {figures['mean_absolute_error_mm']:.2f} mm, median "
            f"{figures['median_absolute_error_mm']:.2f}, over {LARGE_ERROR_MM:g} mm "
            f"{figures['large_errors_share']:.0%}, no answer {figures['no_answer']}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
