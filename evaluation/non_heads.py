"""Count false heads in pictures without a head: `python -m evaluation.non_heads`.

The pictures are noise, clouds, ramps, shapes, photographs that come with the test packages and,
if HC18 is present, corners beside the heads of its calibration exams. The report counts the
pictures in which the model finds a head, and those in which the head is acceptable. The seeds are
fixed. The model was trained on the train part only, and on none of these pictures.

The limit on the mean probability of a head is chosen from two figures of this report: the largest
mean probability in these pictures, and the smallest one of a real head in HC18's train and
calibration parts.
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
from harness.machine import to_report_header
from harness.options import add_folder_options, add_model_option
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.geometry import Ellipse, PixelSpacing, to_half_extents
from headcirc.overlay import to_png
from headcirc.pipeline import Pipeline, load_pipeline
from training.data.hc18 import HC18Image, load_part, load_pixels, to_true_ellipse

RESULT_NAME = "non_heads.json"
PART = "calibration"
ROWS, COLUMNS = 540, 800
SEED = 20_261_123
SPACING = PixelSpacing(0.15, 0.15)
"""HC18's usual pixel size, which gives any found head a plausible size."""
CUT_SHARES = (0.5, 0.42, 0.35, 0.28)
"""Sizes of a corner as shares of the frame's sides; the largest that misses the head is used."""
CUT_MARGIN_PX = 6
Picture = NDArray[np.uint8]


def draw_pictures() -> Iterator[tuple[str, Picture]]:
    """Yield the kind and the pixels of each drawn picture: noise, clouds, ramps and shapes."""
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
    """Return the values clipped to 0 and 255, as uint8."""
    return np.clip(values, 0, 255).astype(np.uint8)


def load_photographs() -> Iterator[tuple[str, Picture]]:
    """Yield the photographs in scikit-learn and matplotlib, whole and in quarters."""
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
    """Yield the corners of a frame, each as large as possible without touching the head.

    Parameters
    ----------
    pixels : (rows, columns) uint8, frame grid
    head : Ellipse
        The true ellipse, in frame pixels.
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
    """Yield the kind and the pixels of the corners of all images."""
    for image in tqdm(images, "corners", unit="image"):
        head = to_true_ellipse(load_pixels(image.annotation_path))
        for corner in cut_corners(load_pixels(image.path), head):
            yield "corners beside a head", corner


def to_unlimited(pipeline: Pipeline) -> Pipeline:
    """Return the pipeline without the limit on the mean probability of a head."""
    mask = replace(pipeline.manifest.mask, minimum_mean_probability=0.0)
    return replace(pipeline, manifest=replace(pipeline.manifest, mask=mask))


def measure(pipeline: Pipeline, pictures: Iterator[tuple[str, Picture]]) -> dict[str, Any]:
    """Count the pictures, the heads and the acceptable heads of each kind.

    `surest` is the largest mean probability of a head, including heads below the limit; it is 0 if
    nothing is large enough for a head.
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
            probability = analysis.head.mask.mean_probability
            counts["with_a_head"] += probability >= limit
            counts["acceptable"] += probability >= limit and analysis.quality.acceptable
            counts["surest"] = max(counts["surest"], probability)
    return kinds


def find_smallest_probability(pipeline: Pipeline, paths: Sequence[Path]) -> float:
    """Return the smallest mean probability over files with a head; 0 if a head is not found."""
    unlimited = to_unlimited(pipeline)
    heads = (unlimited.analyze(path.read_bytes()).head for path in tqdm(paths, "heads"))
    return min(0.0 if head is None else head.mask.mean_probability for head in heads)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report and print a summary; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.non_heads", description=__doc__)
    add_model_option(parser, SPLIT_MODEL_DIR)
    add_folder_options(parser, EVALUATION_RESULTS_DIR)
    chosen = parser.parse_args(arguments)
    pipeline, smallest_probability = load_pipeline(chosen.model), None
    kinds = measure(pipeline, draw_pictures()) | measure(pipeline, load_photographs())
    try:
        require_unseen(chosen.model, PART)
        calibration = load_part(chosen.data, PART)
        kinds |= measure(pipeline, cut_all(calibration))
        heads = load_part(chosen.data, "train") + calibration
        paths = [image.path for image in heads]
        smallest_probability = find_smallest_probability(pipeline, paths)
    except (TrainedOnError, FileNotFoundError) as error:
        print(f"The corners beside heads were not measured: {error}", file=sys.stderr)
    report = to_report_header(pipeline, "python -m evaluation.non_heads") | {
        "minimum_mean_probability": pipeline.manifest.mask.minimum_mean_probability,
        "least_sure_head": smallest_probability,
        "kinds": kinds,
    }
    write_report(chosen.out / RESULT_NAME, report)
    for kind, counts in kinds.items():
        print(
            f"{kind}: {counts['pictures']} pictures, {counts['with_a_head']} with a head, "
            f"{counts['acceptable']} acceptable, largest mean probability {counts['surest']:.2f}"
        )
    if smallest_probability is not None:
        print(f"smallest mean probability of a real head: {smallest_probability:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
