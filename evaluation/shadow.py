"""Compare ellipse fits under acoustic shadow: `python -m evaluation.shadow --part calibration`.

The command measures each image clean and with a wedge of shadow over 5 to 40 % of the skull, at
the same place for every share. The network runs once on each picture, and every fit uses the same
probabilities.

Exit status 0: under 20 % shadow, the mean absolute error of the shipped fit is at most twice the
error without shadow; 1: it is larger.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from evaluation.choices import measure_mm, to_summary
from evaluation.degradations import cast_shadow, to_generator
from evaluation.ellipse_fits import FITS
from evaluation.unseen_exams import SPLIT_MODEL_DIR, TrainedOnError, require_unseen
from harness.documents import write_report
from harness.machine import to_report_header
from harness.options import add_every_option, add_folder_options, add_model_option
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.geometry import PixelSpacing
from headcirc.mask import to_frame_grid
from headcirc.network_input import to_network_input
from headcirc.pipeline import Pipeline, load_pipeline
from training.data.hc18 import PARTS, HC18Image, load_part, load_pixels, to_true_ellipse

SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4)
JUDGED_SHARE, LARGEST_RATIO = 0.2, 2.0
SHIPPED = "soft edge"
DOTS_PER_INCH = 150


def measure(pipeline: Pipeline, images: Sequence[HC18Image]) -> dict[str, dict[str, Any]]:
    """Return a summary of the errors by fit, then by shadowed share of the skull."""
    facts = pipeline.manifest.mask
    errors_mm: dict[str, dict[str, list[float]]] = {
        name: {str(share): [] for share in SHARES} for name in FITS
    }
    for image in tqdm(images, "shadows", unit="image"):
        pixels = load_pixels(image.path)
        head = to_true_ellipse(load_pixels(image.annotation_path))
        spacing = PixelSpacing(image.pixel_size_mm, image.pixel_size_mm)
        for share in SHARES:
            generator = to_generator("shadow", image.name)
            shadowed = cast_shadow(pixels, head, share, generator) if share else pixels
            network_input, mapping = to_network_input(shadowed, pipeline.manifest.input)
            (prediction,) = pipeline.infer(network_input)
            probabilities = to_frame_grid(prediction.probability_map, mapping)
            for name, fit in FITS.items():
                measured_mm = measure_mm(probabilities, facts, fit, spacing)
                errors_mm[name][str(share)].append(measured_mm - image.head_circumference_mm)
    return {
        name: {share: to_summary(values) for share, values in by_share.items()}
        for name, by_share in errors_mm.items()
    }


def judge(fits: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Compare the shipped fit with the limit on the error under shadow."""
    clean, shadowed = (
        fits[SHIPPED][str(share)]["mean_absolute_error_mm"] for share in (0.0, JUDGED_SHARE)
    )
    ratio = shadowed / clean
    return {
        "share": JUDGED_SHARE,
        "ratio_to_clean": ratio,
        "largest_ratio": LARGEST_RATIO,
        "met": ratio <= LARGEST_RATIO,
    }


def plot(fits: Mapping[str, Mapping[str, Any]], title: str, path: Path) -> None:
    """Plot the mean absolute error against the shadowed share, one line per fit, as PNG."""
    figure = Figure((8.0, 5.0), layout="constrained")
    axes = figure.subplots()
    for name, by_share in fits.items():
        errors_mm = [by_share[str(share)]["mean_absolute_error_mm"] for share in SHARES]
        width = 2.5 if name == SHIPPED else 1.2
        axes.plot(100 * np.array(SHARES), errors_mm, marker="o", linewidth=width, label=name)
    limit_mm = LARGEST_RATIO * fits[SHIPPED]["0.0"]["mean_absolute_error_mm"]
    axes.axhline(limit_mm, color="0.5", linestyle="--", linewidth=1)
    below = {"xytext": (0, -3), "textcoords": "offset points", "va": "top"}
    axes.annotate("twice the clean error", (0, limit_mm), **below)
    axes.set_xlabel("share of the skull in shadow, %")
    axes.set_ylabel("mean absolute error of the circumference, mm")
    axes.set_ylim(bottom=0)
    axes.set_title(title)
    axes.legend()
    figure.savefig(path, dpi=DOTS_PER_INCH)


def to_markdown(fits: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table of the mean absolute errors: a row per fit, a column per shadowed share."""
    lines = [
        "| fit | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |",
        "|---" * (len(SHARES) + 1) + "|",
    ]
    for name, by_share in fits.items():
        cells = [f"{by_share[str(share)]['mean_absolute_error_mm']:.2f}" for share in SHARES]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report and print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.shadow", description=__doc__)
    parser.add_argument("--part", choices=PARTS, required=True)
    add_model_option(parser, SPLIT_MODEL_DIR)
    add_folder_options(parser, EVALUATION_RESULTS_DIR)
    add_every_option(parser)
    chosen = parser.parse_args(arguments)
    try:
        require_unseen(chosen.model, chosen.part)
    except TrainedOnError as error:
        parser.error(str(error))
    pipeline = load_pipeline(chosen.model)
    images = load_part(chosen.data, chosen.part)[:: chosen.every]
    fits = measure(pipeline, images)
    verdict = judge(fits)
    command = f"python -m evaluation.shadow --part {chosen.part}"
    header = to_report_header(pipeline, command, every=chosen.every)
    report = header | {"images": len(images), "verdict": verdict, "fits": fits}
    write_report(chosen.out / f"shadow_{chosen.part}.json", report)
    title = f"Circumference under acoustic shadow: HC18, {chosen.part}, {len(images)} images"
    plot(fits, title, chosen.out / f"shadow_{chosen.part}.png")
    print(to_markdown(fits))
    print(f"under {JUDGED_SHARE:.0%} shadow: {verdict['ratio_to_clean']:.2f} times the clean error")
    return 0 if verdict["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
