"""Rebuild the labels of the seed paper and score known answers under them.

`python -m evaluation.reproduction` follows the published notebook of arXiv 2604.18148: its rule for
labels, its split, its Dice, and its surface distances. It scores the constant answer "every pixel
is head", the label itself, and this project's networks: each validation image is measured by the
network of the fold that holds it out (`make fold-models`); those of other folds are left out. It
writes `reproduction.json` and the table of `docs/reproduction.md`.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.distance import cdist
from tqdm import tqdm

from evaluation.accuracy import load_truth
from evaluation.held_out import (
    LoadedFold,
    Pairs,
    load_folds,
    to_fold_header,
    to_pairs,
)
from evaluation.metrics import BoolMask, count_confusion
from evaluation.out_of_fold.text import to_fold_names
from harness.documents import replace_block, write_report
from harness.options import add_folder_options, add_folds_option
from harness.paths import EVALUATION_RESULTS_DIR, ROOT
from headcirc.pipeline import Pipeline
from training.data.hc18 import HC18Image, load_images

DOCUMENT, BLOCK = ROOT / "docs" / "reproduction.md", "reproduction"
RESULT_NAME = "reproduction.json"
GRID_PX = 256
DARK_MEAN, HALF = 0.1, 0.5
SPLIT_SEED, TRAIN_SHARE = 42, 0.8
BATCH = 8
SAMPLED_POINTS = 100
SAMPLING_SEED = 0
Grey = NDArray[np.float32]


def load_resized(path: Path) -> Grey:
    """Read a picture as the notebook does: grey, 256x256 by Pillow's bilinear filter, 0 to 1."""
    with Image.open(path) as picture:
        resized = picture.convert("L").resize((GRID_PX, GRID_PX), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.float32) / 255


def to_label(annotation: Grey) -> BoolMask:
    """Return the notebook's label of a resized annotation.

    If the mean is below 0.1, pixels below 0.5 become the head, otherwise those above 0.5. An
    outline is thin, so the first rule applies, and every pixel except the outline is head.
    """
    if annotation.mean() < DARK_MEAN:
        return annotation < HALF
    return annotation > HALF


def split_as_published(images: Sequence[HC18Image]) -> tuple[list[HC18Image], list[HC18Image]]:
    """Return the training and validation images by the notebook's rule: by image, seed 42."""
    ordered = sorted(images, key=lambda image: image.name)
    indices = np.arange(len(ordered))
    np.random.RandomState(SPLIT_SEED).shuffle(indices)
    edge = int(len(indices) * TRAIN_SHARE)
    return [ordered[i] for i in indices[:edge]], [ordered[i] for i in indices[edge:]]


def to_batch_dices(predicted: Sequence[BoolMask], labels: Sequence[BoolMask]) -> list[float]:
    """Return the Dice of each batch of 8, whose pixels are pooled, as in the notebook."""
    dices = []
    for start in range(0, len(labels), BATCH):
        some = slice(start, start + BATCH)
        dices.append(count_confusion(np.stack(predicted[some]), np.stack(labels[some])).dice)
    return dices


def measure_sampled_distances(
    predicted: BoolMask, label: BoolMask, generator: np.random.Generator
) -> tuple[float, float] | None:
    """Return the notebook's Hausdorff and average distance, in pixels; None if a mask is empty.

    The points are 100 random pixels of each region, edges and inner pixels alike.
    """
    points = []
    for mask in (predicted, label):
        every = np.argwhere(mask)
        if not len(every):
            return None
        count = min(SAMPLED_POINTS, len(every))
        points.append(every[generator.choice(len(every), count, replace=False)])
    between = cdist(*points)
    nearest = between.min(axis=1), between.min(axis=0)
    hausdorff = max(float(each.max()) for each in nearest)
    return hausdorff, float(np.mean([each.mean() for each in nearest]))


def score(predicted: Sequence[BoolMask], labels: Sequence[BoolMask]) -> dict[str, Any]:
    """Return the notebook's figures of some answers under some labels."""
    generator = np.random.default_rng(SAMPLING_SEED)
    dices = to_batch_dices(predicted, labels)
    counted = [count_confusion(*each) for each in zip(predicted, labels, strict=True)]
    sampled = [
        measure_sampled_distances(*each, generator) for each in zip(predicted, labels, strict=True)
    ]
    distances = np.array([each for each in sampled if each is not None])
    return {
        "images": len(labels),
        "dice": float(np.mean(dices)),
        "dice_deviation_of_batches": float(np.std(dices)),
        "precision": float(np.mean([each.precision or 0 for each in counted])),
        "recall": float(np.mean([each.recall or 0 for each in counted])),
        "hausdorff_px": float(distances[:, 0].mean()),
        "average_distance_px": float(distances[:, 1].mean()),
    }


def to_grid(mask: BoolMask) -> BoolMask:
    """Return a frame's mask on the notebook's 256x256 grid."""
    size = (GRID_PX, GRID_PX)
    share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(share) > HALF


def find_mask(pipeline: Pipeline, image: HC18Image) -> BoolMask:
    """Return the pipeline's mask of an image on the notebook's grid; empty without a head."""
    analysis = pipeline.analyze(image.path.read_bytes())
    if analysis.head is None:
        return np.zeros((GRID_PX, GRID_PX), np.bool_)
    return to_grid(analysis.head.mask.pixels)


def keep_validation(
    folds: Sequence[LoadedFold], validation: Sequence[HC18Image]
) -> list[LoadedFold]:
    """Return the folds with those of their images that are validation images."""
    names = {image.name for image in validation}
    return [
        replace(fold, images=[image for image in fold.images if image.name in names])
        for fold in folds
    ]


def measure(pairs: Pairs, images: Sequence[HC18Image]) -> dict[str, Any]:
    """Score the constant answer, the label and the networks under both kinds of labels.

    Parameters
    ----------
    pairs : list of (Pipeline, HC18Image)
        Validation images with the network of the fold that holds them out.
    images : sequence of HC18Image
        All annotated images; the notebook's rule splits them.
    """
    training, validation = split_as_published(images)
    outlines = {each.name: load_resized(each.annotation_path) for each in validation}
    labels = {name: to_label(outline) for name, outline in outlines.items()}
    filled = {each.name: to_grid(load_truth(each)) for each in validation}
    found = [find_mask(*each) for each in tqdm(pairs, "networks", unit="image", mininterval=10)]
    found_labels = [labels[image.name] for _, image in pairs]
    found_filled = [filled[image.name] for _, image in pairs]
    every_label, every_filled = list(labels.values()), list(filled.values())
    everything = [np.ones_like(label) for label in every_label]
    exams = {image.exam for image in training}
    means = [outline.mean() for outline in outlines.values()]
    return {
        "annotated": len(images),
        "split": {
            "training": len(training),
            "validation": len(validation),
            "validation_with_an_exam_mate_in_training": sum(i.exam in exams for i in validation),
            "validation_out_of_fold": len(pairs),
        },
        "labels": {
            "head_share": float(np.mean([label.mean() for label in every_label])),
            "head_share_of_filled": float(np.mean([each.mean() for each in every_filled])),
            "outline_mean": float(np.mean(means)),
            "outline_mean_largest": float(np.max(means)),
        },
        "scores": {
            "constant, published labels": score(everything, every_label),
            "the label itself, published labels": score(every_label, every_label),
            "constant, filled ellipses": score(everything, every_filled),
            "network, published labels": score(found, found_labels),
            "network, filled ellipses": score(found, found_filled),
            "the ellipse itself, filled ellipses": score(found_filled, found_filled),
        },
    }


def to_block(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    split, labels, folds = report["split"], report["labels"], report["folds"]
    lines = [
        "| answer, labels | images | Dice, % (SD of the batches) | precision, % | recall, % "
        "| Hausdorff, px | average distance, px |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in report["scores"].items():
        lines.append(
            f"| {name} | {found['images']} | {100 * found['dice']:.2f} "
            f"({100 * found['dice_deviation_of_batches']:.2f}) | {100 * found['precision']:.2f} | "
            f"{100 * found['recall']:.2f} | {found['hausdorff_px']:.1f} | "
            f"{found['average_distance_px']:.2f} |"
        )
    return "\n".join(
        [
            f"{report['annotated']} annotated images; the published rule puts {split['training']} "
            f"into training and {split['validation']} into validation. "
            f"{split['validation_with_an_exam_mate_in_training']} of the validation images have "
            "another image of the same exam in training. In the published labels "
            f"{100 * labels['head_share']:.2f} % of the pixels are head, in the filled ellipses "
            f"{100 * labels['head_share_of_filled']:.2f} %. The network is {folds[0]['name']}, out "
            f"of fold: {split['validation_out_of_fold']} of the {split['validation']} validation "
            f"images, those that {to_fold_names([each['fold'] for each in folds])} hold out, each "
            "measured by the model of its fold, which never saw its exam.",
            "",
            *lines,
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report and the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.reproduction", description=__doc__)
    add_folds_option(parser)
    add_folder_options(parser, EVALUATION_RESULTS_DIR)
    parser.add_argument("--page", type=Path, default=DOCUMENT, help="page with the table")
    chosen = parser.parse_args(arguments)
    loaded, images = load_folds(parser, chosen), load_images(chosen.data)
    _, validation = split_as_published(images)
    folds = keep_validation(loaded, validation)
    header = to_fold_header("python -m evaluation.reproduction", folds)
    report = header | measure(to_pairs(folds), images)
    write_report(chosen.out / RESULT_NAME, report)
    block = to_block(report)
    chosen.page.write_text(replace_block(chosen.page.read_text(), BLOCK, block))
    print(block)
    return 0


if __name__ == "__main__":
    sys.exit(main())
