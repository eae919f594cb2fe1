"""Measure one network for the comparison, through the running service.

`python -m evaluation.comparison measure --model DIR --part test` writes the rows of the model's
answers. What no route returns is computed in this process with the same model: probabilities for
the curves, and Grad-CAM maps. On the calibration exams only the answers are compared, so degraded
images, other devices' planes and Grad-CAM maps are left out there.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from evaluation.accuracy import load_served_pipeline, load_truth, measure_served
from evaluation.accuracy_summary import ImageResult, fill_ellipse, to_area_columns
from evaluation.comparison.curves import count_probabilities
from evaluation.comparison.rows import ComparedRow, DegradedRow, Measured, PlaneRow
from evaluation.degradations import degrade_all
from evaluation.metrics import count_confusion, measure_areas_under_curves
from evaluation.unseen_exams import require_unseen
from examples.phantom import draw_phantom, load_parameters
from harness.machine import describe_machine, to_timestamp
from harness.served import REQUEST_TIMEOUT_S, ask, fetch_model, serve
from headcirc.cpus import count_available_cpus
from headcirc.explain import Explainer, measure_concentration
from headcirc.geometry import to_ellipse_perimeter
from headcirc.mask import to_frame_grid
from headcirc.model.manifest import MANIFEST_NAME
from headcirc.network_input import to_network_input
from headcirc.overlay import to_png
from headcirc.pipeline import Pipeline, Prepared
from training.data.hc18 import HC18Image, load_part, load_pixels, to_true_ellipse
from training.data.planes import HEAD, Plane, load_planes

PHANTOMS = (0, 7, 13)
"""Phantoms whose Grad-CAM maps are drawn: no picture of a patient is published."""
TEST = "test"
MODEL_FACTS = ("name", "version", "architecture", "width", "parameters", "macs")


def measure_network(
    model_dir: Path, part: str, data_dir: Path, planes_dir: Path, engine: tuple[str, str]
) -> Measured:
    """Measure one network on a part of HC18; on `test` also degraded images and other planes.

    Parameters
    ----------
    model_dir : Path
    part : str
        `calibration` or `test`.
    data_dir, planes_dir : Path
        HC18's folder and the planes' folder.
    engine : tuple of str
        Backend and precision of the service.

    Raises
    ------
    TrainedOnError
        The model was trained on the part.
    ServiceFailedError
        The service did not start, or returned an error.
    """
    require_unseen(model_dir, part)
    images = load_part(data_dir, part)
    planes = load_planes(planes_dir) if part == TEST else []
    with (
        serve(model_dir, *engine) as url,
        httpx.Client(base_url=url, timeout=REQUEST_TIMEOUT_S) as client,
    ):
        served = fetch_model(client)
        pipeline = load_served_pipeline(model_dir, served)
        answers = measure_served(client, images)
        degraded = measure_degraded(client, images) if part == TEST else []
        plane_rows = [measure_plane(client, each) for each in tqdm(planes, "planes")]
    explainer = None
    if part == TEST and pipeline.manifest.explain is not None:
        threads = count_available_cpus()
        explainer = Explainer(pipeline.manifest, pipeline.backend.name, threads=threads)
    rows, counts = add_probabilities(answers, images, pipeline, explainer)
    return Measured(
        facts=to_facts(model_dir, part, served, rows),
        rows=rows,
        degraded=degraded,
        planes=plane_rows,
        counts=counts,
        phantom_maps=explain_phantoms(pipeline, explainer),
    )


def to_facts(
    model_dir: Path, part: str, served: dict[str, Any], rows: Sequence[ComparedRow]
) -> dict[str, Any]:
    """Return the content of `measured.json`."""
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    sizes = {
        precision: (model_dir / graph["file"]).stat().st_size
        for precision, graph in manifest["graphs"].items()
    }
    recipe = manifest["training"].get("recipe", {})
    return {
        "command": f"python -m evaluation.comparison measure --part {part}",
        "date": to_timestamp(),
        "machine": describe_machine(),
        "model": {name: manifest[name] for name in MODEL_FACTS}
        | {key: served[key] for key in ("sha256", "backend", "precision")}
        | {"file_bytes": sizes, "seed": recipe.get("seed"), "epochs": recipe.get("epochs")},
        "fp16_against_fp32": manifest["fp16_against_fp32"],
        "training": {
            name: manifest["training"].get(name) for name in ("selected_epoch", "device", "seconds")
        },
        "data": {
            "name": "HC18",
            "part": part,
            "images": len(rows),
            "exams": len({row.exam for row in rows}),
        },
    }


def infer_probabilities(pipeline: Pipeline, prepared: Prepared) -> NDArray[np.float32]:
    """Return the probabilities of one picture, (rows, columns), frame grid."""
    return to_frame_grid(
        pipeline.infer(prepared.network_input)[0].probability_map, prepared.mapping
    )


def add_probabilities(
    answers: Sequence[ImageResult],
    images: Sequence[HC18Image],
    pipeline: Pipeline,
    explainer: Explainer | None,
) -> tuple[list[ComparedRow], NDArray[np.int64]]:
    """Add areas under the curves and concentration to the rows; also return the histograms."""
    rows, counts = [], []
    for answer, image in zip(answers, tqdm(images, "probabilities", unit="image"), strict=True):
        prepared = pipeline.prepare(image.path.read_bytes())
        probabilities, truth = infer_probabilities(pipeline, prepared), load_truth(image)
        areas = to_area_columns(measure_areas_under_curves(probabilities, truth))
        found = None
        if explainer is not None and pipeline.manifest.explain is not None:
            explanation = explainer.explain(prepared.network_input, prepared.mapping)
            layer = pipeline.manifest.explain.default_layer
            found = measure_concentration(explanation.to_saliency_map(layer), truth)
        concentration = {} if found is None else asdict(found)
        more = areas | concentration | {"pixel_size_mm": image.pixel_size_mm}
        rows.append(ComparedRow(**(asdict(answer) | more)))
        counts.append(count_probabilities(probabilities, truth))
    return rows, np.array(counts)


def measure_degraded(client: httpx.Client, images: Sequence[HC18Image]) -> list[DegradedRow]:
    """Measure each image once with each kind of degradation."""
    rows = []
    for image in tqdm(images, "degraded", unit="image"):
        true = to_true_ellipse(load_pixels(image.annotation_path))
        for kind, severity, pixels, moved in degrade_all(load_pixels(image.path), true, image.name):
            answer = ask(client, to_png(pixels), image.pixel_size_mm)
            truth, dice = fill_ellipse(moved, *pixels.shape), 0.0
            if answer.ellipse is not None:
                dice = count_confusion(fill_ellipse(answer.ellipse, *pixels.shape), truth).dice
            rows.append(
                DegradedRow(
                    name=image.name,
                    exam=image.exam,
                    kind=kind,
                    severity=severity,
                    true_hc_mm=image.head_circumference_mm,
                    measured_hc_mm=answer.head_circumference_mm,
                    ellipse_dice=dice,
                    acceptable=answer.acceptable,
                )
            )
    return rows


def measure_plane(client: httpx.Client, plane: Plane) -> PlaneRow:
    """Ask for one plane of another device, whose pixel size is not known."""
    answer = ask(client, plane.path.read_bytes(), None)
    dice = ratio = None
    if plane.ellipse is not None and plane.kind == HEAD:
        dice = 0.0
        if answer.ellipse is not None:
            shape = answer.mask.shape
            filled = [fill_ellipse(each, *shape) for each in (answer.ellipse, plane.ellipse)]
            dice = count_confusion(*filled).dice
            found, annotated = (
                to_ellipse_perimeter(each.semi_axis_major_px, each.semi_axis_minor_px)
                for each in (answer.ellipse, plane.ellipse)
            )
            ratio = found / annotated
    return PlaneRow(
        file=plane.file,
        kind=plane.kind,
        source=plane.source,
        group=plane.group,
        is_found=answer.ellipse is not None,
        acceptable=answer.acceptable,
        ellipse_dice=dice,
        circumference_ratio=ratio,
    )


def explain_phantoms(pipeline: Pipeline, explainer: Explainer | None) -> NDArray[np.uint8]:
    """Return the Grad-CAM maps of the phantoms, at the bottleneck, in the frame."""
    if explainer is None or pipeline.manifest.explain is None:
        return np.zeros((0, 0, 0), np.uint8)
    every, maps = load_parameters(), []
    for index in PHANTOMS:
        network_input, mapping = to_network_input(
            draw_phantom(every[index]), pipeline.manifest.input
        )
        explanation = explainer.explain(network_input, mapping)
        maps.append(explanation.to_saliency_map(pipeline.manifest.explain.default_layer))
    return np.stack([np.rint(255 * np.clip(each, 0, 1)).astype(np.uint8) for each in maps])
