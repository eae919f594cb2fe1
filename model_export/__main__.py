"""`python -m model_export`: build a model's folder, quantise it, record what was measured."""

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import safe_open

from headcirc.geometry import PixelSpacing
from headcirc.manifest import MANIFEST_NAME, SCHEMA_VERSION, MaskFacts
from headcirc.pipeline import load_pipeline
from model_export.onnx_graph import INPUT_NAME, OPSET, OUTPUT_NAME, load_network, write_onnx
from model_export.parity import measure_parity
from model_export.quantise import EVERY, METHOD, write_int8
from training.attention_resunet import count_macs, count_parameters
from training.hc18 import SPLIT_PATH, load_part, to_input_facts

ONNX_NAME = "model.onnx"
INT8_NAME = "model.int8.onnx"
VERSION = "1.0.0"
MASK = MaskFacts(
    threshold=0.5, minimum_head_share=0.005, minimum_mean_probability=0.88, ellipticity_power=4
)
"""Chosen on training and calibration exams: `python -m benchmarks.choices`."""
LICENCE = (
    "CC BY 4.0; trained on HC18 (van den Heuvel et al. 2018, doi:10.5281/zenodo.1322001, CC BY 4.0)"
)


def build(checkpoint_path: Path, out_dir: Path, data_dir: Path, training_notes: Path) -> None:
    """Write `model.onnx` and `manifest.json`, or raise if the graph is not torch's equal."""
    width = _read_width(checkpoint_path)
    network = load_network(checkpoint_path, width=width)
    facts = to_input_facts()
    out_dir.mkdir(parents=True, exist_ok=True)
    onnx_path = out_dir / ONNX_NAME
    write_onnx(network, onnx_path, facts)
    notes = json.loads(training_notes.read_text())
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "name": f"attention-resunet-{width}",
        "version": VERSION,
        "architecture": "Attention-ResUNet (arXiv 2604.18148)",
        "width": width,
        "parameters": count_parameters(network),
        "macs": count_macs(network),
        "licence": LICENCE,
        "input": asdict(facts),
        "mask": asdict(MASK),
        "onnx": {"opset": OPSET, "input": INPUT_NAME, "output": OUTPUT_NAME},
        "graphs": {"fp32": {"file": ONNX_NAME, "sha256": _to_sha256(onnx_path)}},
        "checkpoint": {"file": checkpoint_path.name, "sha256": _to_sha256(checkpoint_path)},
        "training": notes | {"split_sha256": _to_sha256(SPLIT_PATH)},
    }
    write_manifest(out_dir, manifest)
    pictures = [
        (image.path, PixelSpacing(image.pixel_size_mm, image.pixel_size_mm))
        for image in load_part(data_dir, "calibration")
    ]
    parities = {
        backend: measure_parity(network, load_pipeline(out_dir, backend=backend), pictures)
        for backend in ("onnxruntime", "openvino")
    }
    manifest["parity_with_torch"] = {
        backend: parity.to_facts() for backend, parity in parities.items()
    }
    write_manifest(out_dir, manifest)
    print(json.dumps(manifest["parity_with_torch"], indent=2))


def record_accuracy(model_dir: Path, results: Sequence[Path]) -> None:
    """Copy what `benchmarks.accuracy` measured into the manifest, by part.

    Raises
    ------
    SystemExit
        The figures belong to other weights.
    """
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    shipped = {graph["sha256"] for graph in manifest["graphs"].values()}
    accuracy: dict[str, Any] = {}
    for path in results:
        measured = json.loads(path.read_text())
        if measured["model"]["sha256"] not in shipped:
            raise SystemExit(f"{path.name} was measured on other weights; measure again.")
        figures = {key: measured[key] for key in ("command", "date", "data", "summary", "bins")}
        precision = {"precision": measured["model"]["precision"]}
        accuracy[measured["data"]["part"]] = precision | figures
    write_manifest(model_dir, manifest | {"accuracy": accuracy})


def quantise(model_dir: Path, out_dir: Path, data_dir: Path) -> None:
    """Write a candidate: a copy of a model's folder whose manifest has an INT8 graph too."""
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    out_dir.mkdir(parents=True, exist_ok=True)
    for graph in manifest["graphs"].values():
        shutil.copy(model_dir / graph["file"], out_dir)
    images = load_part(data_dir, "train")[::EVERY]
    source = model_dir / manifest["graphs"]["fp32"]["file"]
    write_int8(source, out_dir / INT8_NAME, images, to_input_facts())
    manifest["graphs"]["int8"] = {
        "file": INT8_NAME,
        "sha256": _to_sha256(out_dir / INT8_NAME),
        "method": METHOD,
        "ranges_from": f"{len(images)} training images, every {EVERY}th",
    }
    write_manifest(out_dir, manifest)


def adopt(model_dir: Path, candidate_dir: Path, acceptance_path: Path) -> None:
    """Let an accepted INT8 graph ship: copy it and what was measured into the model's folder.

    Raises
    ------
    SystemExit
        The graph was refused, or the acceptance was measured on another one.
    """
    measured = json.loads(acceptance_path.read_text())
    graph = json.loads((candidate_dir / MANIFEST_NAME).read_text())["graphs"]["int8"]
    if any(each["model"]["sha256"] != graph["sha256"] for each in measured["candidates"]):
        raise SystemExit(f"{acceptance_path.name} was measured on another graph; measure again.")
    if not measured["accepted"]:
        raise SystemExit(f"{acceptance_path.name} refuses the graph; it does not ship.")
    figures = {each["model"]["backend"]: each["figures"] for each in measured["candidates"]}
    kept = {key: measured[key] for key in ("command", "date", "data", "limits")}
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    manifest["graphs"]["int8"] = graph | {"acceptance": kept | {"figures": figures}}
    shutil.copy(candidate_dir / graph["file"], model_dir)
    write_manifest(model_dir, manifest)


def write_manifest(out_dir: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest as JSON for people and programs."""
    (out_dir / MANIFEST_NAME).write_text(json.dumps(manifest, indent=2) + "\n")


def _read_width(checkpoint_path: Path) -> int:
    with safe_open(checkpoint_path, framework="pt") as checkpoint:
        return int(checkpoint.get_slice("head.weight").get_shape()[1])


def _to_sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m model_export", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    builder = commands.add_parser("build", help="checkpoint -> ONNX, parity, manifest")
    builder.add_argument("--checkpoint", type=Path, required=True, help="safetensors file")
    builder.add_argument("--out", type=Path, required=True, help="the model's folder")
    builder.add_argument("--data", type=Path, required=True, help="HC18, for parity")
    builder.add_argument("--training", type=Path, help="training.json (default: beside checkpoint)")
    recorder = commands.add_parser("record-accuracy", help="measured figures -> manifest")
    recorder.add_argument("--model", type=Path, required=True, help="the model's folder")
    recorder.add_argument("results", type=Path, nargs="+", help="JSON of benchmarks.accuracy")
    quantiser = commands.add_parser("quantise", help="a model -> a candidate with INT8")
    quantiser.add_argument("--model", type=Path, required=True, help="the model's folder")
    quantiser.add_argument("--out", type=Path, required=True, help="the candidate's folder")
    quantiser.add_argument("--data", type=Path, required=True, help="HC18, for the ranges")
    adopter = commands.add_parser("adopt", help="an accepted candidate's INT8 -> the model")
    adopter.add_argument("--model", type=Path, required=True, help="the model's folder")
    adopter.add_argument("--candidate", type=Path, required=True, help="folder by `quantise`")
    adopter.add_argument("--acceptance", type=Path, required=True, help="by benchmarks.acceptance")
    chosen = parser.parse_args(arguments)
    if chosen.command == "quantise":
        quantise(chosen.model, chosen.out, chosen.data)
    elif chosen.command == "adopt":
        adopt(chosen.model, chosen.candidate, chosen.acceptance)
    elif chosen.command == "build":
        notes = chosen.training or chosen.checkpoint.with_name("training.json")
        build(chosen.checkpoint, chosen.out, chosen.data, notes)
    else:
        record_accuracy(chosen.model, chosen.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
