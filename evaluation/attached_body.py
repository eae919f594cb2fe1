"""Measure drawn heads with a body beside or attached: `python -m evaluation.attached_body`.

Each probability map holds two ellipses with an edge as soft as the network's: a head of known
circumference, and a body. They lie apart or overlap. The shipped post-processing measures the maps.
No network runs, and every picture counts as a head plane, so only shape and probability can reveal
a wrong outline.

Exit status 0: where at most a third of the smaller one's diameter overlaps, no acceptable answer is
wrong by more than 5 %; 1: at least one is.
"""

import argparse
import itertools
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from harness.documents import write_report
from harness.machine import to_report_header
from harness.options import add_every_option, add_model_option
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.geometry import (
    FROM_REQUEST,
    CalibratedRegion,
    Ellipse,
    FloatArray,
    Frame,
    PixelSpacing,
    to_affine_image,
    to_ellipse,
    to_ellipse_perimeter,
    to_half_extents,
)
from headcirc.model.prediction import Prediction
from headcirc.network_input import to_network_input
from headcirc.pipeline import SHIPPED_MODEL_DIR, Analysis, Pipeline, Prepared, load_pipeline
from headcirc.raster import to_edge_distance_px

RESULT_NAME = "attached_body.json"
ROWS, COLUMNS = 540, 800
MARGIN_PX = 10
CEPHALIC_INDEX, HEAD_ANGLE_DEG = 0.78, 20.0
HEADS = ((60.0, 0.09), (110.0, 0.11), (180.0, 0.15))
"""Circumference and width of a pixel in mm, in combinations like those of HC18."""
AREA_RATIOS = (0.1, 0.3, 0.6, 1.0, 2.0)
"""Area of the body over the area of the head."""
ELONGATIONS = (0.7, 1.6)
"""Length of the body, along the line between the centres, over its width."""
DIRECTIONS_DEG = (0.0, 60.0, 120.0)
OVERLAPS = (-0.1, 0.05, 0.1, 0.2, 0.33, 0.5, 0.65, 0.8)
"""Length of the overlap on the line between the centres, over the smaller one's mean diameter; a
negative one is a gap."""
BODY_PROBABILITIES = (1.0, 0.8, 0.6)
"""Probability inside the body; inside the head it is 1."""
EDGE_SHARE = 0.018
"""Scale of the logistic edge, over the head's mean radius; the median of 16 heads of HC18."""
JUDGED_OVERLAP = 0.33
LARGE_ERROR, VERY_LARGE_ERROR = 0.05, 0.1


@dataclass(frozen=True)
class Pair:
    """A head and a body in the frame, and the head's circumference and pixel size."""

    head: Ellipse
    body: Ellipse
    head_circumference_mm: float
    pixel_size_mm: float
    overlap: float


def to_pairs() -> Iterator[Pair]:
    """Yield every combination of head, body, direction and overlap."""
    for (head_mm, pixel_mm), overlap, *body in itertools.product(
        HEADS, OVERLAPS, AREA_RATIOS, ELONGATIONS, DIRECTIONS_DEG
    ):
        major_px = 2 * head_mm / pixel_mm / to_ellipse_perimeter(1.0, CEPHALIC_INDEX)
        axes_px = (major_px, CEPHALIC_INDEX * major_px)
        head = to_ellipse((0.0, 0.0), axes_px, HEAD_ANGLE_DEG)
        yield Pair(*place(head, *body, overlap=overlap), head_mm, pixel_mm, overlap)


def place(
    head: Ellipse, area_ratio: float, elongation: float, direction_deg: float, *, overlap: float
) -> tuple[Ellipse, Ellipse]:
    """Return a head and a body of which the pair is centred and the head lies in the frame."""
    head_px, body_px = to_mean_radius_px(head), to_mean_radius_px(head) * math.sqrt(area_ratio)
    length_px, width_px = body_px * math.sqrt(elongation), body_px / math.sqrt(elongation)
    body = to_ellipse((0.0, 0.0), (2 * length_px, 2 * width_px), direction_deg)
    direction_rad = math.radians(direction_deg)
    direction = np.array([math.cos(direction_rad), math.sin(direction_rad)])
    reach_px = 1 / np.linalg.norm(np.linalg.solve(head.to_shape_matrix(), direction))
    between_px = direction * (reach_px + length_px - 2 * overlap * min(head_px, body_px))
    half_head, half_body = np.array(to_half_extents(head)), np.array(to_half_extents(body))
    low = np.minimum(-half_head, between_px - half_body)
    high = np.maximum(half_head, between_px + half_body)
    last = np.array([COLUMNS - 1, ROWS - 1])
    free = half_head + MARGIN_PX
    center = np.clip((last - low - high) / 2, free, last - free)
    return _move(head, center), _move(body, center + between_px)


def to_mean_radius_px(ellipse: Ellipse) -> float:
    """Return the radius of the circle of the same area."""
    return math.sqrt(ellipse.semi_axis_major_px * ellipse.semi_axis_minor_px)


def _move(ellipse: Ellipse, offset: FloatArray) -> Ellipse:
    return to_affine_image(ellipse, np.column_stack((np.eye(2), offset)))


def prepare(pipeline: Pipeline, pixel_size_mm: float) -> Prepared:
    """Return a black frame of a known pixel size."""
    spacing = PixelSpacing(pixel_size_mm, pixel_size_mm)
    region = CalibratedRegion(0, 0, COLUMNS - 1, ROWS - 1, spacing, FROM_REQUEST)
    frame = Frame(np.zeros((ROWS, COLUMNS), np.uint8), (region,))
    network_input, mapping = to_network_input(frame.pixels, pipeline.manifest.input)
    return Prepared(frame, network_input, mapping, {})


def draw(pair: Pair, prepared: Prepared) -> Iterator[NDArray[np.float32]]:
    """Yield a probability map, on the network's grid, for each probability of the body.

    Where head and body overlap, their probabilities add like those of independent events.
    """
    shape = prepared.network_input.shape[2:]
    to_grid = prepared.mapping.to_network_affine()
    outlines = [to_affine_image(each, to_grid) for each in (pair.head, pair.body)]
    edge_px = EDGE_SHARE * to_mean_radius_px(outlines[0])
    head, body = (
        0.5 - 0.5 * np.tanh(to_edge_distance_px(outline, *shape) / (2 * edge_px))
        for outline in outlines
    )
    for probability in BODY_PROBABILITIES:
        yield (1 - (1 - head) * (1 - probability * body)).astype(np.float32)


def measure(pipeline: Pipeline, pairs: Sequence[Pair]) -> dict[str, dict[str, int]]:
    """Return the counts of answers by overlap."""
    answers: dict[str, list[tuple[bool, float | None]]] = {}
    for pair in tqdm(pairs, "pairs"):
        prepared = prepare(pipeline, pair.pixel_size_mm)
        for probability_map in draw(pair, prepared):
            analysis = pipeline.finish(prepared, Prediction(probability_map, 1.0))
            answer = (analysis.quality.acceptable, to_error(analysis, pair))
            answers.setdefault(str(pair.overlap), []).append(answer)
    return {overlap: count(found) for overlap, found in answers.items()}


def to_error(analysis: Analysis, pair: Pair) -> float | None:
    """Return the absolute error as a share of the circumference; None without an answer."""
    measured = None if analysis.head is None else analysis.head.measurement
    if measured is None:
        return None
    return abs(measured.head_circumference_mm / pair.head_circumference_mm - 1)


def count(answers: Sequence[tuple[bool, float | None]]) -> dict[str, int]:
    """Count answers by whether they are acceptable and by the size of their error."""
    accepted = [error for is_accepted, error in answers if is_accepted and error is not None]
    refused = [error for is_accepted, error in answers if not is_accepted and error is not None]
    return {
        "maps": len(answers),
        "acceptable": len(accepted),
        "acceptable_over_5_percent": sum(error > LARGE_ERROR for error in accepted),
        "acceptable_over_10_percent": sum(error > VERY_LARGE_ERROR for error in accepted),
        "refused_within_5_percent": sum(error <= LARGE_ERROR for error in refused),
        "refused_over_5_percent": sum(error > LARGE_ERROR for error in refused),
        "no_answer": len(answers) - len(accepted) - len(refused),
    }


def judge(overlaps: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Return the acceptable large errors at the overlaps that must have none."""
    judged = [counts for overlap, counts in overlaps.items() if float(overlap) <= JUDGED_OVERLAP]
    large = sum(counts["acceptable_over_5_percent"] for counts in judged)
    return {"largest_overlap": JUDGED_OVERLAP, "acceptable_large_errors": large, "met": not large}


def to_markdown(overlaps: Mapping[str, Mapping[str, int]]) -> str:
    """Return a table with a row for each overlap; errors over 10 % stand in brackets."""
    lines = [
        "| overlap | maps | acceptable | of these over 5 % (10 %) | refused, within 5 % "
        "| refused, over 5 % | no answer |",
        "|---" * 7 + "|",
    ]
    for overlap, counts in overlaps.items():
        maps, acceptable, large, very_large, *others = counts.values()
        cells = (maps, acceptable, f"{large} ({very_large})", *others)
        lines.append(f"| {100 * float(overlap):.0f} % | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report and print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.attached_body", description=__doc__)
    add_model_option(parser, SHIPPED_MODEL_DIR)
    add_every_option(parser)
    parser.add_argument(
        "--out", type=Path, default=EVALUATION_RESULTS_DIR, help="folder for the results"
    )
    chosen = parser.parse_args(arguments)
    pipeline = load_pipeline(chosen.model)
    overlaps = measure(pipeline, list(to_pairs())[:: chosen.every])
    verdict = judge(overlaps)
    header = to_report_header(pipeline, "python -m evaluation.attached_body", every=chosen.every)
    write_report(chosen.out / RESULT_NAME, header | {"verdict": verdict, "overlaps": overlaps})
    print(to_markdown(overlaps))
    return 0 if verdict["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
