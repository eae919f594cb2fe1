"""Pictures that hold no head: does the model find one? `python -m evaluation.non_heads`.

Noise of several grains, clouds, ramps, shapes and photographs that come with the test packages,
and, where HC18 is there, corners cut beside the heads of its calibration exams. What counts is how
many get a head, and how many of those an acceptable one. Seeds are fixed; the model is the one that
was trained on the train part alone, and none of these pictures is trained on (training draws its
own from the exams that it trains on).

How sure the network is of the surest of them, beside how sure it is of the least sure head of
HC18's train and calibration parts, is what the smallest mean probability of a head is chosen by.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib import get_data_path
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images
from tqdm import tqdm

from evaluation.unseen_exams import SPLIT_MODEL_DIR, TrainedOnError, require_unseen
from harness.documents import write_report
from harness.machine import to_timestamp
from harness.paths import DEFAULT_DATA_DIR, EVALUATION_RESULTS_DIR
from headcirc.geometry import Ellipse, PixelSpacing, to_half_extents
from headcirc.overlay import to_png
from headcirc.pipeline import Pipeline, load_pipeline
from training.data.hc18 import HC18Image, load_part, load_pixels, to_true_ellipse

RESULT_NAME = "non_heads.json"
PART = "calibration"
ROWS, COLUMNS = 540, 800
SEED = 20_261_123
SPACING = PixelSpacing(0.15, 0.15)
"""HC18's usual pixel size, so that a head found anywhere would have a plausible size."""
CUT_SHARES = (0.5, 0.42, 0.35, 0.28)
"""Shares of the frame's sides, largest first: a corner is cut as large as the head allows."""
CUT_MARGIN_PX = 6
Picture = NDArray[np.uint8]


def draw_pictures() -> Iterator[tuple[str, Picture]]:
    """Yield drawn pictures by their kind: noise, clouds, ramps and shapes."""
    generator = np.random.default_rng(SEED)
    for grain_px in (0.0, 1.0, 2.0, 4.0, 8.0, 16.0):
        for contrast in (15.0, 45.0):
            noise = generator.standard_normal((ROWS, COLUMNS), dtype=np.float32)
            if grain_px:
                noise = cv2.GaussianBlur(noise, (0, 0), grain_px)
            yield "noise", to_picture(60 + contrast * noise / noise.std())
    for cells in (3, 5, 9):
        for _ in range(3):
            coarse = generator.random((cells, cells), dtype=np.float32) * 255
            yield "clouds", to_picture(cv2.resize(coarse, (COLUMNS, ROWS)))
    x, y = np.meshgrid(np.linspace(0, 255, COLUMNS), np.linspace(0, 255, ROWS))
    for ramp in (x, y, (x + y) / 2, np.hypot(x - 128, y - 128), 255 - np.hypot(x - 128, y - 128)):
        yield "ramps", to_picture(ramp)
    for _ in range(8):
        canvas = np.full((ROWS, COLUMNS), 40.0, np.float32)
        for _ in range(6):
            corners = generator.uniform((0, 0), (COLUMNS, ROWS), (4, 2)).astype(np.int32)
            cv2.fillConvexPoly(canvas, cv2.convexHull(corners), float(generator.uniform(0, 255)))
        yield "shapes", to_picture(canvas * generator.rayleigh(0.8, canvas.shape))


def to_picture(values: NDArray[Any]) -> Picture:
    """Return grey values cut off at 0 and 255."""
    return np.clip(values, 0, 255).astype(np.uint8)


def load_photographs() -> Iterator[tuple[str, Picture]]:
    """Yield the photographs that scikit-learn and matplotlib bring, whole and in quarters."""
    hopper = Path(get_data_path()) / "sample_data" / "grace_hopper.jpg"
    photographs = [cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in load_sample_images().images]
    photographs.append(load_pixels(hopper))
    for grey in photographs:
        rows, columns = grey.shape[0] // 2, grey.shape[1] // 2
        yield "photographs", grey
        for top in (0, rows):
            for left in (0, columns):
                yield "photographs", grey[top : top + rows, left : left + columns]


def cut_corners(pixels: Picture, head: Ellipse) -> Iterator[Picture]:
    """Yield the corners of a frame, each as large as it can be without touching the head.

    Parameters
    ----------
    pixels : (rows, columns) uint8, frame grid
    head : Ellipse
        In frame pixels.
    """
    rows, columns = pixels.shape
    half_x, half_y = (half + CUT_MARGIN_PX for half in to_half_extents(head))
    left_px, right_px = head.center_x_px - half_x, head.center_x_px + half_x
    top_px, bottom_px = head.center_y_px - half_y, head.center_y_px + half_y
    for is_right in (False, True):
        for is_lower in (False, True):
            for share in CUT_SHARES:
                width, height = math.floor(columns * share), math.floor(rows * share)
                beside = right_px < columns - width if is_right else left_px > width
                apart = bottom_px < rows - height if is_lower else top_px > height
                if beside or apart:
                    left, top = is_right * (columns - width), is_lower * (rows - height)
                    yield pixels[top : top + height, left : left + width]
                    break


def cut_all(images: Sequence[HC18Image]) -> Iterator[tuple[str, Picture]]:
    """Yield the corners of all images."""
    for image in tqdm(images, "corners", unit="image"):
        head = to_true_ellipse(load_pixels(image.annotation_path))
        for corner in cut_corners(load_pixels(image.path), head):
            yield "corners beside a head", corner


def to_unlimited(pipeline: Pipeline) -> Pipeline:
    """Return the pipeline without the limit on how sure of a head the network must be."""
    mask = replace(pipeline.manifest.mask, minimum_mean_probability=0.0)
    return replace(pipeline, manifest=replace(pipeline.manifest, mask=mask))


def measure(pipeline: Pipeline, pictures: Iterator[tuple[str, Picture]]) -> dict[str, Any]:
    """Return, by kind, how many pictures there are and what was found in them.

    `surest` counts what the limit on the mean probability turns away, too; 0 where nothing is
    large enough for a head.
    """
    unlimited, limit = to_unlimited(pipeline), pipeline.manifest.mask.minimum_mean_probability
    kinds: dict[str, dict[str, Any]] = {}
    for kind, picture in pictures:
        counts = kinds.setdefault(
            kind, {"pictures": 0, "with_a_head": 0, "acceptable": 0, "surest": 0.0}
        )
        analysis = unlimited.analyze(to_png(picture), pixel_spacing=SPACING)
        counts["pictures"] += 1
        if analysis.head is not None:
            sure = analysis.head.mask.mean_probability
            counts["with_a_head"] += sure >= limit
            counts["acceptable"] += sure >= limit and analysis.quality.acceptable
            counts["surest"] = max(counts["surest"], sure)
    return kinds


def find_least_sure(pipeline: Pipeline, paths: Sequence[Path]) -> float:
    """Return the smallest mean probability of a head, of files that hold one; 0: none was found."""
    unlimited = to_unlimited(pipeline)
    heads = (unlimited.analyze(path.read_bytes()).head for path in tqdm(paths, "heads"))
    return min(0.0 if head is None else head.mask.mean_probability for head in heads)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.non_heads", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(DEFAULT_DATA_DIR), help="HC18's folder")
    parser.add_argument("--model", type=Path, default=SPLIT_MODEL_DIR, help="model folder")
    parser.add_argument(
        "--out", type=Path, default=EVALUATION_RESULTS_DIR, help="folder for the result"
    )
    chosen = parser.parse_args(arguments)
    pipeline, least_sure_head = load_pipeline(chosen.model), None
    kinds = measure(pipeline, draw_pictures()) | measure(pipeline, load_photographs())
    try:
        require_unseen(chosen.model, PART)
        calibration = load_part(chosen.data, PART)
        kinds |= measure(pipeline, cut_all(calibration))
        heads = load_part(chosen.data, "train") + calibration
        least_sure_head = find_least_sure(pipeline, [image.path for image in heads])
    except (TrainedOnError, FileNotFoundError) as error:
        print(f"Corners beside heads were not measured: {error}", file=sys.stderr)
    report = {
        "command": "python -m evaluation.non_heads",
        "date": to_timestamp(),
        "model_sha256": pipeline.graph.sha256,
        "precision": pipeline.backend.precision,
        "minimum_mean_probability": pipeline.manifest.mask.minimum_mean_probability,
        "least_sure_head": least_sure_head,
        "kinds": kinds,
    }
    write_report(chosen.out / RESULT_NAME, report)
    for kind, counts in kinds.items():
        print(
            f"{kind}: {counts['pictures']} pictures, {counts['with_a_head']} with a head, "
            f"{counts['acceptable']} acceptable, the surest {counts['surest']:.2f}"
        )
    if least_sure_head is not None:
        print(f"least sure head: {least_sure_head:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
