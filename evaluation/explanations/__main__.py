"""Measure how faithful the saliency maps are: `python -m evaluation.explanations`.

Each HC18 image is explained by the network of the fold that holds it out (`make fold-models`). The
command measures deletion and insertion curves and compares them with baseline maps, compares the
maps under randomised weights, and measures how concentrated each map is. The maps come from the
explain graphs. Under randomised weights they come from torch, with the checkpoint of the first
fold and the images that this fold holds out.

Exit status 0: measured; 2: the measurement failed.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
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
from evaluation.held_out import LoadedFold, load_folds, to_fold_header
from harness.documents import write_report
from harness.options import add_folder_options, add_folds_option
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.agreement.estimates import INTERVAL_LEVEL, RESAMPLES, estimate
from headcirc.backends.registry import choose_explain_graph
from headcirc.cpus import count_available_cpus
from headcirc.errors import HeadCircumferenceError
from headcirc.explain import EDGE_BAND_SHARE, Concentration, Explainer, measure_concentration
from headcirc.pipeline import Pipeline
from training.checkpoint import find_checkpoint, load_trained

RESULT_NAME = "explain.json"
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
    exams, folds : list of int
    without_head : list of str
        Names of the images without a head, which are excluded.
    """

    curves: list[dict[str, Curves]] = field(default_factory=list)
    concentrations: dict[str, list[Concentration | None]] = field(default_factory=dict)
    network_inputs: list[NDArray[np.float32]] = field(default_factory=list)
    exams: list[int] = field(default_factory=list)
    folds: list[int] = field(default_factory=list)
    without_head: list[str] = field(default_factory=list)


def choose_images(folds: Sequence[LoadedFold], count: int | None) -> list[LoadedFold]:
    """Return the folds with `count` images together, spread evenly, or with all images."""
    total = sum(len(each.images) for each in folds)
    if count is None or count >= total:
        return list(folds)
    chosen = {index * total // count for index in range(count)}
    numbers = iter(range(total))
    return [
        replace(fold, images=[each for each in fold.images if next(numbers) in chosen])
        for fold in folds
    ]


def measure_images(fold: LoadedFold, explainer: Explainer, measured: Measured) -> None:
    """Add the curves and the concentration of each layer's map on each image of a fold."""
    pipeline = fold.pipeline
    for image in tqdm(fold.images, f"fold {fold.fold}", unit="image", mininterval=10):
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
        measured.folds.append(fold.fold)


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


def randomise_first_fold(fold: LoadedFold, measured: Measured) -> dict[str, Any]:
    """Measure the maps under randomised weights for the images of one fold."""
    network = load_trained(find_checkpoint(fold.model_dir))
    chosen = [index for index, number in enumerate(measured.folds) if number == fold.fold]
    return measure_randomised(
        network,
        [measured.network_inputs[index] for index in chosen],
        [measured.exams[index] for index in chosen],
        threshold=fold.pipeline.manifest.mask.threshold,
    )


def measure(folds: Sequence[LoadedFold], command: str, *, threads: int) -> dict[str, Any]:
    """Measure the images of all folds and return the report."""
    measured = Measured()
    for fold in folds:
        manifest, backend = fold.pipeline.manifest, fold.pipeline.backend.name
        measure_images(fold, Explainer(manifest, backend, threads=threads), measured)
    first = folds[0]
    graphs = {
        each.fold: choose_explain_graph(each.pipeline.manifest, each.pipeline.backend.name)
        for each in folds
    }
    return to_fold_header(command, folds) | {
        "backend": first.pipeline.backend.name,
        "explain_sha256": {fold: graph.sha256 for fold, graph in graphs.items()},
        "data": {
            "name": "HC18",
            "images": len(measured.exams),
            "exams": len(set(measured.exams)),
            "without_head": measured.without_head,
        },
        "method": METHOD_NOTES,
        "shares": SHARES,
        "curves": summarise_curves(measured.curves, measured.exams),
        "concentration": summarise_concentrations(measured),
        "randomised_fold": {"fold": first.fold, "images": measured.folds.count(first.fold)},
        "randomised": randomise_first_fold(first, measured),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report and its plots; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.explanations", description=__doc__)
    add_folds_option(parser)
    parser.add_argument("--images", type=int, help="number of images to measure; default: all")
    parser.add_argument("--backend", default="auto", help="backend of network and explain graph")
    parser.add_argument(
        "--threads", type=int, default=0, help="number of threads; default: all available CPUs"
    )
    add_folder_options(parser, EVALUATION_RESULTS_DIR)
    chosen = parser.parse_args(arguments)
    threads = chosen.threads or count_available_cpus()
    torch.set_num_threads(threads)
    # The explain graphs are float32 on CPUs.
    options = {"backend": chosen.backend, "precision": "fp32", "threads": threads}
    folds = choose_images(load_folds(parser, chosen, **options), chosen.images)
    limit = "" if chosen.images is None else f" --images {chosen.images}"
    try:
        report = measure(folds, f"python -m evaluation.explanations{limit}", threads=threads)
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
