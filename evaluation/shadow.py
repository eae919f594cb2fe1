"""Compare ellipse fits under acoustic shadow: `python -m evaluation.shadow`.

The command measures each image clean and with a wedge of shadow over 5 to 40 % of the skull, at
the same place for every share, by the network of the fold that holds the image out
(`make fold-models`). The network runs once on each picture, and every fit uses the same
probabilities. The compared errors are those of the images that every fit answers at every share:
otherwise a missing answer would improve the mean of its fit or share.

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
from evaluation.held_out import load_folds, to_fold_header, to_pairs
from harness.documents import write_report
from harness.options import add_every_option, add_folder_options, add_folds_option
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.geometry import PixelSpacing
from headcirc.mask import to_frame_grid
from headcirc.network_input import to_network_input
from headcirc.pipeline import Pipeline
from training.data.hc18 import HC18Image, load_pixels, to_true_ellipse

SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4)
JUDGED_SHARE, LARGEST_RATIO = 0.2, 2.0
SHIPPED = "soft edge"
DOTS_PER_INCH = 150
RESULT_NAME, PLOT_NAME = "shadow.json", "shadow.png"
ErrorsMm = dict[str, dict[str, list[float]]]
"""One error for each image, by fit and shadowed share; NaN without an answer."""


def measure(measured: Sequence[tuple[Pipeline, HC18Image]]) -> ErrorsMm:
    """Return the errors of all images by fit, then by shadowed share of the skull."""
    errors_mm: ErrorsMm = {name: {str(share): [] for share in SHARES} for name in FITS}
    for pipeline, image in tqdm(measured, "shadows", unit="image", mininterval=10):
        facts = pipeline.manifest.mask
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
    return errors_mm


def summarise(errors_mm: ErrorsMm) -> dict[str, Any]:
    """Return the figures of the images that every fit answers at every share.

    Returns
    -------
    dict
        `compared` and `left_out` count the images. `fits` has a summary by fit and share, in which
        `no_answer` counts all images without an answer.

    Raises
    ------
    ValueError
        No image is left to compare.
    """
    every = np.array([list(by_share.values()) for by_share in errors_mm.values()])
    is_compared = np.isfinite(every).all(axis=(0, 1))
    if not is_compared.any():
        raise ValueError("No image has an answer of every fit at every share.")
    fits = {
        name: {
            share: to_summary(np.array(errors)[is_compared])
            | {"no_answer": int(np.isnan(errors).sum())}
            for share, errors in by_share.items()
        }
        for name, by_share in errors_mm.items()
    }
    return {
        "compared": int(is_compared.sum()),
        "left_out": int((~is_compared).sum()),
        "fits": fits,
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
    add_folds_option(parser)
    add_folder_options(parser, EVALUATION_RESULTS_DIR)
    add_every_option(parser)
    chosen = parser.parse_args(arguments)
    folds = load_folds(parser, chosen)
    header = to_fold_header("python -m evaluation.shadow", folds, every=chosen.every)
    summary = summarise(measure(to_pairs(folds)))
    fits = summary["fits"]
    verdict = judge(fits)
    write_report(chosen.out / RESULT_NAME, header | {"verdict": verdict} | summary)
    title = (
        f"Circumference under acoustic shadow: HC18, out of fold, {summary['compared']} of "
        f"{header['images']} images"
    )
    plot(fits, title, chosen.out / PLOT_NAME)
    print(to_markdown(fits))
    print(f"under {JUDGED_SHARE:.0%} shadow: {verdict['ratio_to_clean']:.2f} times the clean error")
    return 0 if verdict["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
