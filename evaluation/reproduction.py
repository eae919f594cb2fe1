"""Rebuild the labels of the seed paper and score known answers under them.

`python -m evaluation.reproduction` follows the published notebook of arXiv 2604.18148: its rule for
labels, its split, its Dice, and its surface distances. It scores the constant answer "every pixel
is head", the label itself, and the split model. It writes `reproduction.json` and the table of
`docs/reproduction.md`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.distance import cdist
from tqdm import tqdm

from evaluation.accuracy import load_truth
from evaluation.metrics import BoolMask, count_confusion
from evaluation.unseen_exams import SPLIT_MODEL_DIR, require_unseen
from harness.documents import replace_block, write_report
from harness.machine import to_report_header
from harness.options import add_folder_options, add_model_option
from harness.paths import EVALUATION_RESULTS_DIR, ROOT
from headcirc.pipeline import Pipeline, load_pipeline
from training.data.hc18 import HC18Image, load_images, load_part

DOCUMENT, BLOCK = ROOT / "docs" / "reproduction.md", "reproduction"
RESULT_NAME = "reproduction.json"
GRID_PX = 256
DARK_MEAN, HALF = 0.1, 0.5
SPLIT_SEED, TRAIN_SHARE = 42, 0.8
BATCH = 8
SAMPLED_POINTS = 100
SAMPLING_SEED = 0
UNSEEN_PARTS = ("calibration", "test")
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


def measure(pipeline: Pipeline, data_dir: Path) -> dict[str, Any]:
    """Score the constant answer, the label and the network under both kinds of labels."""
    images = load_images(data_dir)
    training, validation = split_as_published(images)
    outlines = [load_resized(image.annotation_path) for image in validation]
    labels = [to_label(outline) for outline in tqdm(outlines, "labels", unit="image")]
    filled = [to_grid(load_truth(image)) for image in validation]
    everything = [np.ones_like(label) for label in labels]
    unseen = [image for part in UNSEEN_PARTS for image in load_part(data_dir, part)]
    found = [find_mask(pipeline, image) for image in tqdm(unseen, "network", unit="image")]
    unseen_labels = [to_label(load_resized(image.annotation_path)) for image in unseen]
    unseen_filled = [to_grid(load_truth(image)) for image in unseen]
    exams = {image.exam for image in training}
    return {
        "images": len(images),
        "split": {
            "training": len(training),
            "validation": len(validation),
            "validation_with_an_exam_mate_in_training": sum(i.exam in exams for i in validation),
        },
        "labels": {
            "head_share": float(np.mean([label.mean() for label in labels])),
            "head_share_of_filled": float(np.mean([each.mean() for each in filled])),
            "outline_mean": float(np.mean([outline.mean() for outline in outlines])),
            "outline_mean_largest": float(np.max([outline.mean() for outline in outlines])),
        },
        "scores": {
            "constant, published labels": score(everything, labels),
            "the label itself, published labels": score(labels, labels),
            "constant, filled ellipses": score(everything, filled),
            "network, published labels": score(found, unseen_labels),
            "network, filled ellipses": score(found, unseen_filled),
            "the ellipse itself, filled ellipses": score(unseen_filled, unseen_filled),
        },
    }


def to_block(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    split, labels = report["split"], report["labels"]
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
            f"{report['images']} annotated images; the published rule puts {split['training']} "
            f"into training and {split['validation']} into validation. "
            f"{split['validation_with_an_exam_mate_in_training']} of the validation images have "
            "another image of the same exam in training. In the published labels "
            f"{100 * labels['head_share']:.2f} % of the pixels are head, in the filled ellipses "
            f"{100 * labels['head_share_of_filled']:.2f} %. The network is "
            f"{report['model']['name']} {report['model']['version']}, on calibration and test "
            "exams, which it was not trained on.",
            "",
            *lines,
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report and the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.reproduction", description=__doc__)
    add_model_option(parser, SPLIT_MODEL_DIR)
    add_folder_options(parser, EVALUATION_RESULTS_DIR)
    parser.add_argument("--page", type=Path, default=DOCUMENT, help="page with the table")
    chosen = parser.parse_args(arguments)
    for part in UNSEEN_PARTS:
        require_unseen(chosen.model, part)
    pipeline = load_pipeline(chosen.model, precision="fp32")
    header = to_report_header(pipeline, "python -m evaluation.reproduction")
    model = {"name": pipeline.manifest.name, "version": pipeline.manifest.version}
    report = header | {"model": model} | measure(pipeline, chosen.data)
    write_report(chosen.out / RESULT_NAME, report)
    block = to_block(report)
    chosen.page.write_text(replace_block(chosen.page.read_text(), BLOCK, block))
    print(block)
    return 0


if __name__ == "__main__":
    sys.exit(main())
