"""Count false heads in pictures without a head: `python -m evaluation.non_heads`.

The shipped model measures noise, clouds, ramps, shapes, and photographs that come with the test
packages; it was trained with similar drawings, not with these. Corners beside the heads of HC18's
images are measured by the network of the fold that holds the image out (`make fold-models`). The
report counts the pictures in which a model finds a head, and those in which the head is acceptable.
The seeds are fixed.

The limit on the mean probability of a head is chosen from two figures of this report: the largest
mean probability in these pictures, and the smallest one of a real head, in HC18's images out of
fold.
"""

import argparse
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib import get_data_path
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images
from tqdm import tqdm

from evaluation.held_out import (
    describe_graph,
    load_folds,
    to_fold_header,
    to_pairs,
)
from evaluation.out_of_fold.text import to_fold_names
from harness.documents import write_report
from harness.options import add_folder_options, add_folds_option
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.geometry import Ellipse, PixelSpacing, to_half_extents
from headcirc.model.manifest import Manifest
from headcirc.overlay import to_png
from headcirc.pipeline import Analysis, Pipeline, load_pipeline
from training.data.hc18 import HC18Image, load_pixels, to_true_ellipse

RESULT_NAME = "non_heads.json"
CORNERS = "corners beside a head"
ROWS, COLUMNS = 540, 800
SEED = 20_261_123
SPACING = PixelSpacing(0.15, 0.15)
"""HC18's usual pixel size, which gives any found head a plausible size."""
CUT_SHARES = (0.5, 0.42, 0.35, 0.28)
"""Sizes of a corner as shares of the frame's sides; the largest that misses the head is used."""
CUT_MARGIN_PX = 6
Picture = NDArray[np.uint8]
Measured = tuple[Pipeline, str, Picture]
"""A model, and the kind and the pixels of a picture that it measures."""


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


def cut_all(measured: Sequence[tuple[Pipeline, HC18Image]]) -> Iterator[Measured]:
    """Yield the corners of all images, each with the image's model."""
    for pipeline, image in tqdm(measured, "corners", unit="image", mininterval=10):
        head = to_true_ellipse(load_pixels(image.annotation_path))
        for corner in cut_corners(load_pixels(image.path), head):
            yield pipeline, CORNERS, corner


def to_unlimited(pipeline: Pipeline) -> Pipeline:
    """Return the pipeline without the limits on a head's probability and on that of its plane."""
    manifest = pipeline.manifest
    mask = replace(manifest.mask, minimum_mean_probability=0.0)
    plane = manifest.head_plane and replace(manifest.head_plane, minimum_probability=0.0)
    return replace(pipeline, manifest=replace(manifest, mask=mask, head_plane=plane))


def is_found(manifest: Manifest, analysis: Analysis) -> bool:
    """Return whether an answer of the unlimited pipeline is a head by the model's own limits."""
    plane = manifest.head_plane
    if plane is not None and plane.excludes_head(analysis.head_plane_probability):
        return False
    head = analysis.head
    return head is not None and head.mask.mean_probability >= manifest.mask.minimum_mean_probability


def measure(pictures: Iterable[Measured]) -> dict[str, dict[str, Any]]:
    """Count the pictures, the heads and the acceptable heads of each kind.

    `surest` is the largest mean probability of a head, including heads that the model's limits
    exclude; it is 0 if nothing is large enough for a head.
    """
    kinds: dict[str, dict[str, Any]] = {}
    for pipeline, kind, picture in pictures:
        counts = kinds.setdefault(
            kind, {"pictures": 0, "with_a_head": 0, "acceptable": 0, "surest": 0.0}
        )
        analysis = to_unlimited(pipeline).analyze(to_png(picture), pixel_spacing=SPACING)
        counts["pictures"] += 1
        if analysis.head is not None:
            found = is_found(pipeline.manifest, analysis)
            counts["with_a_head"] += found
            counts["acceptable"] += found and analysis.quality.acceptable
            counts["surest"] = max(counts["surest"], analysis.head.mask.mean_probability)
    return kinds


def find_smallest_probability(measured: Iterable[tuple[Pipeline, Path]]) -> float:
    """Return the smallest mean probability over files with a head; 0 if a head is not found."""
    heads = (to_unlimited(pipeline).analyze(path.read_bytes()).head for pipeline, path in measured)
    return min(0.0 if head is None else head.mask.mean_probability for head in heads)


def find_limits(pipelines: Iterable[Pipeline]) -> list[float]:
    """Return the different limits of these models on the mean probability of a head."""
    return sorted({each.manifest.mask.minimum_mean_probability for each in pipelines})


def mark(kinds: dict[str, dict[str, Any]], measured_by: str) -> dict[str, dict[str, Any]]:
    """Return the counts with the model that measured them."""
    return {kind: {"measured_by": measured_by} | counts for kind, counts in kinds.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report and print a summary; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.non_heads", description=__doc__)
    add_folds_option(parser)
    add_folder_options(parser, EVALUATION_RESULTS_DIR)
    chosen = parser.parse_args(arguments)
    folds, shipped = load_folds(parser, chosen), load_pipeline()
    pairs = to_pairs(folds)
    drawn = measure((shipped, *each) for each in chain(draw_pictures(), load_photographs()))
    kinds = mark(drawn, f"shipped {shipped.manifest.name} {shipped.manifest.version}")
    kinds |= mark(measure(cut_all(pairs)), to_fold_names([each.fold for each in folds]))
    paths = [(pipeline, image.path) for pipeline, image in pairs]
    smallest_probability = find_smallest_probability(tqdm(paths, "heads", mininterval=10))
    report = to_fold_header("python -m evaluation.non_heads", folds) | {
        "shipped": describe_graph(shipped),
        "minimum_mean_probability": find_limits([shipped, *(each.pipeline for each in folds)]),
        "least_sure_head": smallest_probability,
        "kinds": kinds,
    }
    write_report(chosen.out / RESULT_NAME, report)
    for kind, counts in kinds.items():
        print(
            f"{kind}, by {counts['measured_by']}: {counts['pictures']} pictures, "
            f"{counts['with_a_head']} with a head, {counts['acceptable']} acceptable, "
            f"largest mean probability {counts['surest']:.2f}"
        )
    print(f"smallest mean probability of a real head: {smallest_probability:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
