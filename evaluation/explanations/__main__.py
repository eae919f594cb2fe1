"""Measure how faithful the saliency maps are: `python -m evaluation.explanations --data DIR`.

On calibration exams, the command measures deletion and insertion curves and compares them with
baseline maps, compares the maps under randomised weights, and measures how concentrated each map
is. The maps come from the shipped explain graph. Under randomised weights they come from torch,
with the checkpoint that the graph was exported from.

Exit status 0: measured; 2: the measurement failed.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from evaluation.explanations.curves import (
    BASELINES,
    SHARES,
    Curves,
    draw_baselines,
    measure_curves,
    summarise_curves,
    to_ranks,
)
from evaluation.explanations.plots import plot_curves, plot_randomised
from evaluation.explanations.randomised import SEED, measure_randomised
from evaluation.unseen_exams import SPLIT_MODEL_DIR
from harness.documents import write_report
from harness.machine import describe_machine, to_timestamp
from harness.options import add_folder_options, add_model_option
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.agreement.estimates import INTERVAL_LEVEL, RESAMPLES, estimate
from headcirc.backends.registry import choose_explain_graph
from headcirc.cpus import count_available_cpus
from headcirc.errors import HeadCircumferenceError
from headcirc.explain import EDGE_BAND_SHARE, Concentration, Explainer, measure_concentration
from headcirc.pipeline import Pipeline, load_pipeline
from training.checkpoint import find_checkpoint, load_trained
from training.data.hc18 import HC18Image, load_part

RESULT_NAME = "explain.json"
PART = "calibration"
EXIT_MEASURED, EXIT_FAILED = 0, 2
METHOD_NOTES = {
    "precision": "the float32 network and its maps, even if an 8-bit network ships",
    "score": "mean probability over the head that the network predicts in the whole picture",
    "taken_away": "set to black; pixels with equal map values are ordered at random",
    "baselines": BASELINES,
    "edge_band_share": EDGE_BAND_SHARE,
    "randomised": f"from the output backwards, Spearman's rank correlation, "
    f"new weights for each picture, seeds from {SEED}",
    "interval": f"bootstrap over exams, {RESAMPLES} resamples, level {INTERVAL_LEVEL}",
}


@dataclass
class Measured:
    """The measurements of the images in which the model found a head.

    Attributes
    ----------
    curves : list of dict
        The curves of each map, one dict per image.
    concentrations : dict of list
        The concentration of each layer's map, one value per image; None if the map is empty.
    network_inputs : list of (1, 1, h, w) float32
    exams : list of int
    without_head : list of str
        Names of the images without a head, which are excluded.
    """

    curves: list[dict[str, Curves]] = field(default_factory=list)
    concentrations: dict[str, list[Concentration | None]] = field(default_factory=dict)
    network_inputs: list[NDArray[np.float32]] = field(default_factory=list)
    exams: list[int] = field(default_factory=list)
    without_head: list[str] = field(default_factory=list)


def choose_images(images: Sequence[HC18Image], count: int | None) -> list[HC18Image]:
    """Return `count` images spread evenly over the list, or all images."""
    if count is None or count >= len(images):
        return list(images)
    return [images[index * len(images) // count] for index in range(count)]


def measure_images(
    pipeline: Pipeline, explainer: Explainer, images: Sequence[HC18Image]
) -> Measured:
    """Measure the curves and the concentration of each layer's map on each image."""
    measured = Measured()
    for image in tqdm(images, "deletion and insertion", unit="image"):
        prepared = pipeline.prepare(image.path.read_bytes())
        (prediction,) = pipeline.infer(prepared.network_input)
        probability_map = prediction.probability_map
        head = pipeline.finish(prepared, prediction).head
        if head is None:
            measured.without_head.append(image.name)
            continue
        explanation = explainer.explain(prepared.network_input, prepared.mapping)
        layers = pipeline.manifest.explain.layers if pipeline.manifest.explain else ()
        maps = {layer: explanation.outputs[layer] for layer in layers}
        for layer in layers:
            found = measure_concentration(explanation.to_saliency_map(layer), head.mask.pixels)
            measured.concentrations.setdefault(layer, []).append(found)
        generator = np.random.default_rng((SEED, image.exam, len(measured.exams)))
        measured.curves.append(
            measure_all_curves(pipeline, prepared.network_input, probability_map, maps, generator)
        )
        measured.network_inputs.append(prepared.network_input)
        measured.exams.append(image.exam)
    return measured


def measure_all_curves(
    pipeline: Pipeline,
    network_input: NDArray[np.float32],
    probability_map: NDArray[np.float32],
    maps: Mapping[str, NDArray[np.float32]],
    generator: np.random.Generator,
) -> dict[str, Curves]:
    """Measure the curves of the maps of one image and of the baselines."""
    facts = pipeline.manifest.input
    picture = network_input[0, 0]
    head = probability_map > pipeline.manifest.mask.threshold
    size = picture.shape[::-1]
    ranked = {
        name: np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR))
        for name, values in maps.items()
    } | draw_baselines(picture, probability_map, generator)
    black = -facts.mean / facts.standard_deviation

    def infer_maps(inputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return [each.probability_map for each in pipeline.infer(inputs)]

    return {
        name: measure_curves(infer_maps, picture, head, to_ranks(values, generator), black=black)
        for name, values in ranked.items()
    }


def summarise_concentrations(measured: Measured) -> dict[str, dict[str, Any]]:
    """Return the mean concentration over the images with its interval, by layer and share."""
    names = [each.name for each in fields(Concentration)]
    return {
        layer: {
            name: asdict(
                estimate(
                    [None if each is None else getattr(each, name) for each in every],
                    measured.exams,
                )
            )
            for name in names
        }
        for layer, every in measured.concentrations.items()
    }


def describe_model(pipeline: Pipeline) -> dict[str, str]:
    """Return the facts about the model and its explain graph that the report contains."""
    manifest = pipeline.manifest
    graph = choose_explain_graph(manifest, pipeline.backend.name)
    return {
        "name": manifest.name,
        "version": manifest.version,
        "backend": pipeline.backend.name,
        "precision": graph.precision,
        "sha256": graph.sha256,
        "weights_sha256": pipeline.graph.sha256,
    }


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Measure the chosen images and return the report."""
    threads = chosen.threads or count_available_cpus()
    torch.set_num_threads(threads)
    pipeline = load_pipeline(
        chosen.model, backend=chosen.backend, precision="fp32", threads=threads
    )
    manifest = pipeline.manifest
    explainer = Explainer(manifest, pipeline.backend.name, threads=threads)
    measured = measure_images(
        pipeline, explainer, choose_images(load_part(chosen.data, PART), chosen.images)
    )
    network = load_trained(find_checkpoint(chosen.model))
    randomised = measure_randomised(
        network, measured.network_inputs, measured.exams, threshold=manifest.mask.threshold
    )
    limit = "" if chosen.images is None else f" --images {chosen.images}"
    return {
        "command": f"python -m evaluation.explanations --data DIR{limit}",
        "date": to_timestamp(),
        "machine": describe_machine(),
        "model": describe_model(pipeline),
        "data": {
            "name": "HC18",
            "part": PART,
            "images": len(measured.exams),
            "exams": len(set(measured.exams)),
            "without_head": measured.without_head,
        },
        "method": METHOD_NOTES,
        "shares": SHARES,
        "curves": summarise_curves(measured.curves, measured.exams),
        "concentration": summarise_concentrations(measured),
        "randomised": randomised,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report and its plots; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.explanations", description=__doc__)
    add_model_option(parser, SPLIT_MODEL_DIR)
    parser.add_argument("--images", type=int, help="number of images to measure; default: all")
    parser.add_argument("--backend", default="auto", help="backend of network and explain graph")
    parser.add_argument(
        "--threads", type=int, default=0, help="number of threads; default: all available CPUs"
    )
    add_folder_options(parser, EVALUATION_RESULTS_DIR)
    chosen = parser.parse_args(arguments)
    try:
        report = measure(chosen)
    except (HeadCircumferenceError, OSError) as error:
        print(f"evaluation.explanations: {error}", file=sys.stderr)
        return EXIT_FAILED
    write_report(chosen.out / RESULT_NAME, report)
    plot_curves(report, chosen.out / "explain_curves.png")
    plot_randomised(report, chosen.out / "explain_randomised.png")
    print(json.dumps(report, indent=2))
    return EXIT_MEASURED


if __name__ == "__main__":
    sys.exit(main())
