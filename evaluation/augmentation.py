"""Compare sets of test-time augmentations: `python -m evaluation.augmentation`.

The command measures images clean and degraded, each by the network of the fold that holds it out
(`make fold-models`). It measures each picture that the network is unsure about several times: from
the first inference, and from the means over several augmented copies. The network is unsure where
the mean probability over the head is below `UNSURE_BELOW`, whatever limit the model ships with.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from tqdm import tqdm

from evaluation.choices import to_error_mm, to_summary
from evaluation.degradations import degrade_all
from evaluation.held_out import load_folds, to_fold_header, to_pairs
from evaluation.out_of_fold.case import CLEAN, prepare_pixels
from harness.documents import write_report
from harness.options import add_every_option, add_folder_options, add_folds_option
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.geometry import PixelSpacing
from headcirc.model.manifest import Manifest
from headcirc.model.prediction import Prediction
from headcirc.pipeline import Pipeline
from headcirc.quality.augmentation import (
    AUGMENTATIONS,
    Augmentation,
    average_copies,
    needs_augmentation,
)
from training.data.hc18 import HC18Image, load_pixels, to_true_ellipse

UNSURE_BELOW = 0.95
"""Mean probability over the head; version 2.3.0 used test-time augmentation below it."""
LARGE_ERROR_MM = 5.0
RESULT_NAME = "augmentation.json"
FIRST, AVERAGED = "first inference", "0.8, mirrored 1.1"
BOTH = (False, True)
VARIANTS: dict[str, tuple[Augmentation, ...]] = {
    FIRST: ((False, 1.0),),
    "mirror image too": ((False, 1.0), (True, 1.0)),
    "0.9": ((False, 0.9),),
    "0.9, mirrored 0.7": ((False, 0.9), (True, 0.7)),
    "0.9, mirrored 1.1": ((False, 0.9), (True, 1.1)),
    AVERAGED: AUGMENTATIONS,
    "0.8, 0.9, 1.1, each mirrored too": tuple(product(BOTH, (0.8, 0.9, 1.1))),
}


def find_shipped(manifests: Iterable[Manifest]) -> str:
    """Return the name of the variant that models with these manifests use.

    Without a limit on the mean probability, no picture is augmented.
    """
    is_augmenting = any(each.mask.sure_mean_probability > 0 for each in manifests)
    return AVERAGED if is_augmenting else FIRST


def is_unsure(first: Prediction, manifest: Manifest) -> bool:
    """Return whether the first inference found a head with a probability below `UNSURE_BELOW`."""
    mask = replace(manifest.mask, sure_mean_probability=UNSURE_BELOW)
    return needs_augmentation(first, replace(manifest, mask=mask))


def measure(
    measured: Sequence[tuple[Pipeline, HC18Image]],
) -> dict[str, dict[str, list[float]]]:
    """Return the errors in mm of unsure pictures, by kind of degradation and by variant."""
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
            if not is_unsure(first, pipeline.manifest):
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
    """Return the summary of one variant, with the share of large errors (None without answers)."""
    known_mm = np.abs([error for error in errors_mm if np.isfinite(error)])
    share = float((known_mm > LARGE_ERROR_MM).mean()) if len(known_mm) else None
    return to_summary(errors_mm) | {"large_errors_share": share}


def to_summaries(
    errors_mm: Mapping[str, Mapping[str, list[float]]], *, shipped: str
) -> dict[str, Any]:
    """Return the figures of all unsure pictures together, and by kind of degradation.

    The name of the variant that ships says so.
    """
    titles = {name: f"{name} (ships)" if name == shipped else name for name in VARIANTS}
    kinds = {
        kind: {titles[name]: to_figures(errors) for name, errors in variants.items()}
        for kind, variants in errors_mm.items()
    }
    every = {
        title: to_figures([error for each in errors_mm.values() for error in each[name]])
        for name, title in titles.items()
    }
    unsure = {kind: len(each[FIRST]) for kind, each in errors_mm.items()}
    return {"unsure_below": UNSURE_BELOW, "unsure": unsure, "all": every, "kinds": kinds}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report and print a summary; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.augmentation", description=__doc__)
    add_folds_option(parser)
    add_folder_options(parser, EVALUATION_RESULTS_DIR)
    add_every_option(parser)
    chosen = parser.parse_args(arguments)
    folds = load_folds(parser, chosen)
    header = to_fold_header("python -m evaluation.augmentation", folds, every=chosen.every)
    shipped = find_shipped(each.pipeline.manifest for each in folds)
    summaries = to_summaries(measure(to_pairs(folds)), shipped=shipped)
    write_report(chosen.out / RESULT_NAME, header | summaries)
    print(json.dumps({key: summaries[key] for key in ("unsure", "all")}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
