"""Compare thresholds, ellipse fits and component rules.

`python -m evaluation.choices` runs a network once on each image and applies every choice to the
same probabilities. Each image is measured by the network of the fold that holds it out
(`make fold-models`). The limits of the mask are chosen from the same report.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from evaluation.ellipse_fits import FITS, Fit
from evaluation.held_out import load_folds, to_fold_header, to_pairs
from harness.documents import write_report
from harness.options import add_folder_options, add_folds_option
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.geometry import PixelSpacing
from headcirc.mask import to_frame_grid, to_head_mask
from headcirc.measurement import measure_head
from headcirc.model.manifest import MaskFacts
from headcirc.pipeline import Analysis, Head, Pipeline
from headcirc.quality.assessment import to_fit_overlap, touches_border
from training.data.hc18 import HC18Image, load_pixels, to_true_ellipse

RESULT_NAME = "choices.json"
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
ELLIPTICITY_POWERS = (0, 2, 4, 8)
HEAD_FEATURES = ("fit_overlap", "rejected_share", "mean_probability", "touches_border")


def to_error_mm(analysis: Analysis, image: HC18Image) -> float:
    """Return measured minus annotated circumference; NaN without an answer."""
    measured = None if analysis.head is None else analysis.head.measurement
    if measured is None:
        return float("nan")
    return measured.head_circumference_mm - image.head_circumference_mm


def to_summary(errors_mm: Sequence[float]) -> dict[str, float | None]:
    """Return the mean, median, signed and worst error, and the number of NaN (no answer).

    Without any answer the errors are None.
    """
    known_mm = np.array([error for error in errors_mm if np.isfinite(error)])
    sizes_mm = np.abs(known_mm)
    figures = {
        "mean_absolute_error_mm": (np.mean, sizes_mm),
        "median_absolute_error_mm": (np.median, sizes_mm),
        "signed_error_mm": (np.mean, known_mm),
        "worst_mm": (np.max, sizes_mm),
    }
    return {
        name: float(reduce(values)) if len(values) else None
        for name, (reduce, values) in figures.items()
    } | {"no_answer": len(errors_mm) - len(known_mm)}


def to_variants(facts: MaskFacts) -> dict[str, tuple[MaskFacts, Fit]]:
    """Return the compared choices by name; each changes one setting of the shipped pipeline."""
    shipped = FITS["soft edge"]
    variants = {
        f"threshold {value}": (replace(facts, threshold=value), shipped) for value in THRESHOLDS
    }
    variants |= {
        f"ellipticity power {value}": (replace(facts, ellipticity_power=value), shipped)
        for value in ELLIPTICITY_POWERS
    }
    return variants | {f"fit {name}": (facts, fit) for name, fit in FITS.items()}


def measure_mm(
    probabilities: NDArray[np.float32], facts: MaskFacts, fit: Fit, spacing: PixelSpacing
) -> float:
    """Return the circumference of one choice; NaN without a head."""
    head = to_head_mask(probabilities, facts)
    if head is None:
        return float("nan")
    ellipse = fit(probabilities, head, facts.threshold)
    return float("nan") if ellipse is None else measure_head(ellipse, spacing).head_circumference_mm


def compare(measured: Sequence[tuple[Pipeline, HC18Image]]) -> dict[str, Any]:
    """Measure every image by its pipeline with every choice; the pixels of HC18 are square."""
    errors_mm: dict[str, list[float]] = {}
    head_shares, heads = [], []
    for pipeline, image in tqdm(measured, mininterval=10):
        prepared = pipeline.prepare(image.path.read_bytes())
        (prediction,) = pipeline.infer(prepared.network_input)
        probabilities = to_frame_grid(prediction.probability_map, prepared.mapping)
        spacing = PixelSpacing(image.pixel_size_mm, image.pixel_size_mm)
        for name, (facts, fit) in to_variants(pipeline.manifest.mask).items():
            measured_mm = measure_mm(probabilities, facts, fit, spacing)
            errors_mm.setdefault(name, []).append(measured_mm - image.head_circumference_mm)
        true = to_true_ellipse(load_pixels(image.annotation_path))
        area_px = np.pi * true.semi_axis_major_px * true.semi_axis_minor_px
        head_shares.append(area_px / prepared.frame.pixels.size)
        head = pipeline.finish(prepared, prediction).head
        if head is not None:
            heads.append(to_head_features(head))
    features = {name: [head[name] for head in heads] for name in HEAD_FEATURES}
    return {name: to_summary(values) for name, values in errors_mm.items()} | {
        "images": len(measured),
        "smallest_head_share": min(head_shares),
        "fit_overlap_1st_percentile": float(np.percentile(features["fit_overlap"], 1)),
        "rejected_share_99th_percentile": float(np.percentile(features["rejected_share"], 99)),
        "no_head": len(measured) - len(heads),
        "mean_probability_lowest": min(features["mean_probability"]),
        "mean_probability_1st_percentile": float(np.percentile(features["mean_probability"], 1)),
        "touching_border": int(np.sum(features["touches_border"])),
    }


def to_head_features(head: Head) -> dict[str, float]:
    """Return the values of a head that the quality limits are chosen from."""
    values = (
        to_fit_overlap(head.mask.pixels, head.ellipse),
        head.mask.largest_rejected_share,
        head.mask.mean_probability,
        touches_border(head.ellipse, *head.mask.pixels.shape),
    )
    return dict(zip(HEAD_FEATURES, values, strict=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the choices, print the result and write it; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.choices", description=__doc__)
    add_folder_options(parser, EVALUATION_RESULTS_DIR)
    add_folds_option(parser)
    chosen = parser.parse_args(arguments)
    folds = load_folds(parser, chosen)
    result = to_fold_header("python -m evaluation.choices", folds)
    result["held out"] = compare(to_pairs(folds))
    print(json.dumps(result, indent=2))
    write_report(chosen.out / RESULT_NAME, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
