"""Build and complete a model's folder: `python -m model_export`."""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from headcirc.backends.gpu import find_gpu
from headcirc.backends.registry import choose_explain_graph, choose_graph
from headcirc.backends.tensorrt_builder import load_flavour
from headcirc.backends.tensorrt_engines import write_engine
from headcirc.cpus import count_available_cpus
from headcirc.geometry import PixelSpacing
from headcirc.model.manifest import (
    MANIFEST_NAME,
    SCHEMA_VERSION,
    HeadPlaneFacts,
    MaskFacts,
    load_manifest,
)
from headcirc.pipeline import load_pipeline
from model_export.explain import is_explainable
from model_export.explain_files import write_explain_files
from model_export.explain_parity import measure_explain_parity
from model_export.fp16 import load_rounded, write_fp16
from model_export.hub import write_hub_folder
from model_export.onnx_graph import (
    INPUT_NAME,
    OPSET,
    OUTPUT_NAMES,
    has_head_plane,
    write_onnx,
)
from model_export.parity import measure_agreement, measure_parity
from model_export.quantise import EVERY, METHOD, write_int8
from model_export.record import record_out_of_fold, replace_files, write_manifest
from training.checkpoint import find_checkpoint, load_record, load_trained, to_file_sha256
from training.data.folds import HELD_OUT, to_training_items
from training.data.hc18 import (
    PARTS,
    SPLIT_PATH,
    HC18Image,
    load_images,
    load_part,
    to_input_facts,
)
from training.networks import PAPERS, TITLES
from training.networks.sizes import count_macs, count_parameters

GRAPH_NAMES = {"fp32": "model.onnx", "fp16": "model.fp16.onnx", "int8": "model.int8.onnx"}
"""Precision to file name; int8 is added only after it was accepted."""
MASK = MaskFacts(
    threshold=0.5,
    minimum_head_share=0.005,
    minimum_mean_probability=0.85,
    acceptable_mean_probability=0.94,
    sure_mean_probability=0.95,
    ellipticity_power=4,
)
"""Limits of a model without a file of its own (`--limits`), chosen for the networks of width 16 on
training and calibration exams (`evaluation.choices`, `evaluation.non_heads`)."""
HEAD_PLANE = HeadPlaneFacts(acceptable_probability=0.85, minimum_probability=0.28)
"""The same, chosen for version 2.3.0 on out-of-fold probabilities: hardly a plane without a head is
above the first, and hardly a head is below the second. Those of the half-time network are in
`models/folds/limits.json`."""
RECIPE_NAME = "recipe.json"
"""The recipe that `training.train_fold` writes beside its weights."""
LICENCE = (
    "CC BY 4.0; trained on HC18 (van den Heuvel et al. 2018, doi:10.5281/zenodo.1322001) and, if "
    "it judges the plane, on FETAL_PLANES_DB (Burgos-Artizzu et al. 2020, "
    "doi:10.5281/zenodo.3904280), its ellipses (Alzubaidi et al. 2023, "
    "doi:10.5281/zenodo.8265464) and African planes (Sendra-Balcells et al. 2023, "
    "doi:10.5281/zenodo.7540448), all CC BY 4.0"
)


def build(
    checkpoint_path: Path,
    out_dir: Path,
    data_dir: Path,
    *,
    training_notes: Path | None = None,
    version: str | None = None,
    limits: Path | None = None,
) -> None:
    """Write the float32, float16 and explain graphs and `manifest.json`.

    If an error is raised, the folder is not changed.

    Parameters
    ----------
    checkpoint_path : Path
        Weights to export (safetensors).
    out_dir : Path
        The model's folder.
    data_dir : Path
        HC18's folder; parity is measured on the calibration exams.
    training_notes : Path, optional
        JSON with the record of the training; by default see `load_training_notes`.
    version : str, optional
        Version of the weights; by default that of the notes.
    limits : Path, optional
        JSON with the limits that were chosen for these weights, see `load_limits`.

    Raises
    ------
    ParityError
        A float32 graph differs from torch, or the float16 graph differs from float32, by more than
        is allowed.
    InferenceError
        A graph returns NaN or infinity.
    SystemExit
        There is no record of the training, or no version.
    """
    network, name = load_trained(checkpoint_path), load_record(checkpoint_path).name
    notes = load_training_notes(checkpoint_path, training_notes)
    if version is not None:
        notes["version"] = version
    if "version" not in notes:
        raise SystemExit(
            "The record of the training has no version of the weights. Add 'version' to it, or "
            "give --version."
        )
    limited = load_limits(limits, is_judging=has_head_plane(network))
    threshold = limited["mask"]["threshold"]
    with replace_files(out_dir) as model_dir:
        manifest = _write_graphs(network, name, notes["version"], threshold, model_dir) | {
            **limited,
            "checkpoint": {"file": checkpoint_path.name, "sha256": to_file_sha256(checkpoint_path)},
            "training": notes | {"split_sha256": to_file_sha256(SPLIT_PATH)},
        }
        write_manifest(model_dir, manifest)
        parities = _measure_parities(network, model_dir, data_dir)
        write_manifest(model_dir, manifest | parities)
    print(json.dumps(parities, indent=2))


def load_training_notes(checkpoint_path: Path, path: Path | None = None) -> dict[str, Any]:
    """Return the record of the training of a checkpoint.

    Parameters
    ----------
    checkpoint_path : Path
    path : Path, optional
        JSON file; by default `training.json` beside the checkpoint, or else the recipe that
        `training.train_fold` wrote there, with the data that the checkpoint says it saw. Such a run
        saw exams of every part of the split.

    Raises
    ------
    SystemExit
        There is no record.
    """
    folder = checkpoint_path.parent
    notes_path = path or folder / "training.json"
    if notes_path.is_file():
        notes: dict[str, Any] = json.loads(notes_path.read_text())
        return notes
    recipe_path, seen = folder / RECIPE_NAME, load_record(checkpoint_path).seen
    if path is not None or not recipe_path.is_file() or seen is None:
        raise SystemExit(
            f"{notes_path.name} is missing, and so is the recipe of training.train_fold. Give "
            "--training."
        )
    recipe = json.loads(recipe_path.read_text()) | {"parts": list(PARTS)}
    return {"recipe": recipe, "seen": asdict(seen)}


def load_limits(path: Path | None, *, is_judging: bool) -> dict[str, Any]:
    """Return the manifest's sections `mask` and, if the network judges the plane, `head_plane`.

    The file has the same sections; what it lacks has the default of `MASK` and `HEAD_PLANE`.

    Raises
    ------
    TypeError
        The file has an unknown limit.
    """
    chosen = {} if path is None else json.loads(path.read_text())
    facts = {"mask": asdict(MaskFacts(**asdict(MASK) | chosen.get("mask", {})))}
    if is_judging:
        limits = HeadPlaneFacts(**asdict(HEAD_PLANE) | chosen.get("head_plane", {}))
        facts["head_plane"] = asdict(limits)
    return facts


def restore(model_dir: Path, checkpoint_path: Path, data_dir: Path) -> None:
    """Export the graphs of a manifest again; the manifest is not changed.

    Raises
    ------
    SystemExit
        The checkpoint or an exported graph does not match the manifest's SHA-256. The folder is not
        changed then.
    """
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    if to_file_sha256(checkpoint_path) != manifest["checkpoint"]["sha256"]:
        raise SystemExit(f"{checkpoint_path.name} is not the checkpoint of the manifest.")
    network, name = load_trained(checkpoint_path), load_record(checkpoint_path).name
    named = {**manifest["graphs"], **_to_explain_graphs(manifest)}
    with replace_files(model_dir) as new_dir:
        threshold = manifest["mask"]["threshold"]
        made = _write_graphs(network, name, manifest["version"], threshold, new_dir)
        if "int8" in manifest["graphs"]:
            images = load_range_images(manifest, data_dir)
            source = new_dir / made["graphs"]["fp32"]["file"]
            write_int8(source, new_dir / GRAPH_NAMES["int8"], images, to_input_facts())
        for graph in named.values():
            if to_file_sha256(new_dir / graph["file"]) != graph["sha256"]:
                raise SystemExit(
                    f"The export of {graph['file']} does not match the manifest. Install the "
                    "packages of requirements/test.txt and try again."
                )


def _to_explain_graphs(manifest: dict[str, Any]) -> dict[str, Any]:
    explain = manifest.get("explain", {"graphs": {}})
    return {f"explain-{each}": graph for each, graph in explain["graphs"].items()}


def _write_graphs(
    network: Any, name: str, version: str, threshold: float, model_dir: Path
) -> dict[str, Any]:
    """Write all graphs; return the manifest's facts of the network and of the graphs.

    `name` is the network's name in the registry. The explain graphs explain the pixels above
    `threshold`.
    """
    facts = to_input_facts()
    paths = {precision: model_dir / GRAPH_NAMES[precision] for precision in ("fp32", "fp16")}
    write_onnx(network, paths["fp32"], facts)
    write_fp16(paths["fp32"], paths["fp16"])
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "name": to_name(network, name),
        "version": version,
        "architecture": f"{TITLES[name]} ({PAPERS[name]})",
        "width": network.width,
        "parameters": count_parameters(network),
        "macs": count_macs(network),
        "licence": LICENCE,
        "input": asdict(facts),
        "onnx": {
            "opset": OPSET,
            "input": INPUT_NAME,
            "outputs": OUTPUT_NAMES[: 1 + has_head_plane(network)],
        },
        "graphs": to_graph_facts(paths),
    }
    if is_explainable(network):
        explain = write_explain_files(network, paths, facts, threshold=threshold)
        manifest["explain"] = explain
    return manifest


def to_name(network: Any, name: str) -> str:
    """Return the model's name: its network and width, or `half` if it works at half resolution."""
    return f"{name}-{network.width if getattr(network, 'stem', None) is None else 'half'}"


def _measure_parities(network: Any, model_dir: Path, data_dir: Path) -> dict[str, Any]:
    """Compare float32 with torch, and float16 with float32, on the calibration exams."""
    pictures = [
        (image.path, PixelSpacing(image.pixel_size_mm, image.pixel_size_mm))
        for image in load_part(data_dir, "calibration")
    ]
    pipelines = {
        backend: load_pipeline(model_dir, backend=backend, precision="fp32")
        for backend in ("onnxruntime", "openvino")
    }
    with_torch = {
        backend: measure_parity(network, pipeline, pictures).to_facts()
        for backend, pipeline in pipelines.items()
    }
    reference = pipelines["onnxruntime"]
    rounded = load_rounded(reference.manifest.graphs["fp16"], threads=count_available_cpus())
    agreement = measure_agreement(reference, rounded, pictures)
    parities: dict[str, Any] = {"parity_with_torch": with_torch}
    if reference.manifest.explain is not None:
        parities["explain_parity_with_torch"] = {
            backend: measure_explain_parity(network, pipeline, pictures).to_facts()
            for backend, pipeline in pipelines.items()
        }
    rounding = {"rounded_on": "ONNX Runtime, CPU"}
    return parities | {"fp16_against_fp32": agreement.to_facts() | rounding}


def build_engine(model_dir: Path) -> None:
    """Build the TensorRT engines for this machine before the first start.

    Raises
    ------
    HeadCircumferenceError
        TensorRT is not installed, cannot build an engine here, or the model ships no float16 graph.
    """
    manifest = load_manifest(model_dir)
    graphs = [choose_graph(manifest, "tensorrt", "fp16")]
    if manifest.explain is not None:
        graphs.append(choose_explain_graph(manifest, "tensorrt"))
    trt = load_flavour()
    for graph in graphs:
        path = write_engine(trt, graph, find_gpu())
        print(f"{path.name}: {path.stat().st_size:,} bytes, {trt.__name__} {trt.__version__}")


def quantise(model_dir: Path, out_dir: Path, data_dir: Path) -> None:
    """Write a candidate: a copy of a model's folder with an additional INT8 graph."""
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    out_dir.mkdir(parents=True, exist_ok=True)
    for graph in (*manifest["graphs"].values(), *_to_explain_graphs(manifest).values()):
        shutil.copy(model_dir / graph["file"], out_dir)
    images = load_range_images(manifest, data_dir)
    source = model_dir / manifest["graphs"]["fp32"]["file"]
    write_int8(source, out_dir / GRAPH_NAMES["int8"], images, to_input_facts())
    manifest["graphs"]["int8"] = {
        "file": GRAPH_NAMES["int8"],
        "sha256": to_file_sha256(out_dir / GRAPH_NAMES["int8"]),
        "method": METHOD,
        "ranges_from": f"{len(images)} training images, every {EVERY}th",
    }
    write_manifest(out_dir, manifest)


def load_range_images(manifest: dict[str, Any], data_dir: Path) -> list[HC18Image]:
    """Return the training images that give the ranges of a model's INT8 graph.

    They are among those that its weights were trained on: the images that its fold does not hold
    out, or, without a fold, the train part of the split. So the images on which an INT8 graph is
    accepted do not give its ranges.
    """
    recipe = manifest["training"].get("recipe", {})
    if recipe.get("fold") is None:
        return load_part(data_dir, "train")[::EVERY]
    folds = HELD_OUT[recipe["held_out"]]()
    return to_training_items(load_images(data_dir), folds, recipe["fold"])[::EVERY]


def adopt(model_dir: Path, candidate_dir: Path, acceptance_path: Path) -> None:
    """Add an accepted INT8 graph and its acceptance figures to a model's folder.

    Raises
    ------
    SystemExit
        The graph was not accepted, or the acceptance was measured with another graph.
    """
    measured = json.loads(acceptance_path.read_text())
    graph = json.loads((candidate_dir / MANIFEST_NAME).read_text())["graphs"]["int8"]
    if any(each["model"]["sha256"] != graph["sha256"] for each in measured["candidates"]):
        raise SystemExit(f"{acceptance_path.name} was measured with another graph. Measure again.")
    if not measured["accepted"]:
        raise SystemExit(f"{acceptance_path.name} does not accept the graph, so it cannot ship.")
    figures = {each["model"]["backend"]: each["figures"] for each in measured["candidates"]}
    kept = {key: measured[key] for key in ("command", "date", "data", "limits")}
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    manifest["graphs"]["int8"] = graph | {"acceptance": kept | {"figures": figures}}
    shutil.copy(candidate_dir / graph["file"], model_dir)
    write_manifest(model_dir, manifest)


def to_graph_facts(paths: dict[str, Path]) -> dict[str, dict[str, str]]:
    """Return the manifest's entry of graphs: precision to file and SHA-256."""
    return {
        each: {"file": path.name, "sha256": to_file_sha256(path)} for each, path in paths.items()
    }


def to_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(prog="python -m model_export", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    builder = commands.add_parser("build", help="export a checkpoint: graphs, parity, manifest")
    builder.add_argument("--checkpoint", type=Path, required=True, help="safetensors file")
    builder.add_argument("--out", type=Path, required=True, help="the model's folder")
    builder.add_argument("--data", type=Path, required=True, help="HC18's folder, for parity")
    builder.add_argument(
        "--training",
        type=Path,
        help="training.json (default: it, or the recipe of training.train_fold, beside the "
        "checkpoint)",
    )
    builder.add_argument("--version", help="version of the weights (default: as recorded)")
    builder.add_argument("--limits", type=Path, help="JSON with limits chosen for these weights")
    restorer = commands.add_parser("restore", help="export the graphs of a manifest again")
    restorer.add_argument("--model", type=Path, required=True, help="the manifest's folder")
    restorer.add_argument("--checkpoint", type=Path, help="safetensors file (default: found)")
    restorer.add_argument("--data", type=Path, required=True, help="HC18's folder, for INT8")
    publisher = commands.add_parser("hub", help="write a folder for the Hugging Face hub")
    publisher.add_argument("--model", type=Path, required=True, help="the model's folder")
    publisher.add_argument("--out", type=Path, required=True, help="the folder to replace")
    recorder = commands.add_parser(
        "record-out-of-fold", help="add the folds' accuracy and uncertainty model to the manifest"
    )
    recorder.add_argument("--model", type=Path, required=True, help="the model's folder")
    recorder.add_argument("measured", type=Path, help="JSON of evaluation.out_of_fold measure")
    recorder.add_argument("fitted", type=Path, help="JSON of evaluation.out_of_fold fit")
    quantiser = commands.add_parser("quantise", help="write a candidate with an INT8 graph")
    quantiser.add_argument("--model", type=Path, required=True, help="the model's folder")
    quantiser.add_argument("--out", type=Path, required=True, help="the candidate's folder")
    quantiser.add_argument("--data", type=Path, required=True, help="HC18's folder, for ranges")
    adopter = commands.add_parser("adopt", help="add an accepted INT8 graph to the model")
    adopter.add_argument("--model", type=Path, required=True, help="the model's folder")
    adopter.add_argument("--candidate", type=Path, required=True, help="folder of `quantise`")
    adopter.add_argument(
        "--acceptance", type=Path, required=True, help="JSON of evaluation.acceptance"
    )
    engine = commands.add_parser("engine", help="build TensorRT engines for this machine")
    engine.add_argument("--model", type=Path, required=True, help="the model's folder")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command."""
    chosen = to_parser().parse_args(arguments)
    if chosen.command == "quantise":
        quantise(chosen.model, chosen.out, chosen.data)
    elif chosen.command == "restore":
        checkpoint = chosen.checkpoint or find_checkpoint(chosen.model)
        restore(chosen.model, checkpoint, chosen.data)
    elif chosen.command == "hub":
        write_hub_folder(chosen.model, chosen.out)
    elif chosen.command == "adopt":
        adopt(chosen.model, chosen.candidate, chosen.acceptance)
    elif chosen.command == "engine":
        build_engine(chosen.model)
    elif chosen.command == "build":
        build(
            chosen.checkpoint,
            chosen.out,
            chosen.data,
            training_notes=chosen.training,
            version=chosen.version,
            limits=chosen.limits,
        )
    else:
        record_out_of_fold(chosen.model, chosen.measured, chosen.fitted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
