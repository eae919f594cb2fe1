"""Count the heads found in planes of other devices: `python -m evaluation.planes --planes DIR`.

The masks are those of the shipped model, which saw none of these planes. The head-plane
probability of each plane is replaced by that of the fit on the other four folds
(`training.train_plane_head`), so that no plane is judged by an output that was trained on its
patient.
"""

import argparse
import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from harness.documents import write_report
from harness.machine import to_report_header
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.model.prediction import Prediction
from headcirc.pipeline import SHIPPED_MODEL_DIR, Analysis, Pipeline, load_pipeline
from headcirc.quality.augmentation import infer_with_augmentation
from training.data.planes import KINDS, Plane, load_planes

HELD_OUT_NAME, RESULT_NAME = "head_plane_held_out.csv", "planes.json"


def read_probabilities(path: Path) -> dict[str, float]:
    """Return the out-of-fold probability of a head plane of each file."""
    with path.open(newline="") as table:
        return {r["file"]: float(r["head_plane_probability"]) for r in csv.DictReader(table)}


def analyze_out_of_fold(pipeline: Pipeline, content: bytes, probability: float) -> Analysis:
    """Measure one file with another head-plane probability than the network's own."""

    def run_network(network_input: NDArray[np.float32]) -> list[Prediction]:
        found = pipeline.backend.infer(network_input)
        return [Prediction(each.probability_map, probability) for each in found]

    prepared = pipeline.prepare(content)
    (prediction,) = infer_with_augmentation(run_network, prepared.network_input, pipeline.manifest)
    return pipeline.finish(prepared, prediction)


def count(analyses: Iterable[Analysis]) -> dict[str, int]:
    """Count pictures, found heads and acceptable heads."""
    counts = {"pictures": 0, "found": 0, "acceptable": 0}
    for analysis in analyses:
        is_found = analysis.head is not None
        counts["pictures"] += 1
        counts["found"] += is_found
        counts["acceptable"] += analysis.quality.acceptable
    return counts


def measure(
    pipeline: Pipeline, planes: Sequence[Plane], probabilities: dict[str, float]
) -> dict[str, Any]:
    """Return the counts of each kind of plane."""
    kinds = {}
    for kind in KINDS:
        of_kind = [plane for plane in planes if plane.kind == kind]
        kinds[kind] = count(
            analyze_out_of_fold(pipeline, plane.path.read_bytes(), probabilities[plane.file])
            for plane in tqdm(of_kind, kind, mininterval=30)
        )
    return kinds


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report and print a summary; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.planes", description=__doc__)
    parser.add_argument("--planes", type=Path, required=True, help="folder of the planes")
    parser.add_argument(
        "--out", type=Path, default=EVALUATION_RESULTS_DIR, help="folder for the results"
    )
    parser.add_argument(
        "--without-judgement",
        action="store_true",
        help="call every plane a head plane, and write no report",
    )
    chosen = parser.parse_args(arguments)
    pipeline = load_pipeline(SHIPPED_MODEL_DIR)
    probabilities = read_probabilities(EVALUATION_RESULTS_DIR / HELD_OUT_NAME)
    if chosen.without_judgement:
        probabilities = dict.fromkeys(probabilities, 1.0)
    kinds = measure(pipeline, load_planes(chosen.planes), probabilities)
    report = to_report_header(pipeline, "python -m evaluation.planes") | {"kinds": kinds}
    if not chosen.without_judgement:
        write_report(chosen.out / RESULT_NAME, report)
    for kind, counts in kinds.items():
        print(f"{kind}: " + ", ".join(f"{number} {name}" for name, number in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
