import json
import shutil
from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
import torch

from headcirc.errors import InferenceError, ModelArtifactError
from headcirc.model.manifest import MANIFEST_NAME, load_manifest
from headcirc.model.uncertainty_model import to_uncertainty_model
from headcirc.pipeline import SHIPPED_MODEL_DIR
from model_export.__main__ import (
    HEAD_PLANE,
    MASK,
    build,
    load_limits,
    load_training_notes,
    main,
    to_name,
    write_manifest,
)
from model_export.record import replace_files
from training.checkpoint import NetworkRecord, save_weights
from training.data.hc18 import IMAGE_FOLDER, SPLIT_PATH, TABLE_NAME
from training.lineage import Seen
from training.networks.attention_resunet import HALF_TIME, AttentionResUNet

SHIPPED = json.loads((SHIPPED_MODEL_DIR / MANIFEST_NAME).read_text())
SERVED = {name: SHIPPED[name] for name in ("name", "parameters", "macs")}


@pytest.fixture
def model_dir(tmp_path):
    write_manifest(tmp_path, {"name": "tiny", "version": "9"})
    return tmp_path


@pytest.fixture
def record(tmp_path):
    """Return a function that records changed reports in a copy of the shipped manifest."""
    shutil.copy(SHIPPED_MODEL_DIR / MANIFEST_NAME, tmp_path)
    served = [SERVED | {"fold": fold, "sha256": str(fold), "precision": "int8"} for fold in (0, 2)]
    data = {"folds": [0, 2], "images": 3, "available": {"folds": 5, "images": 8}}
    heads = {
        "all": {"figures": {"bias_mm": {"value": 0.1}}},
        "bins": [{"images": 3}],
        "of_acceptable": {"figures": {}},
        "answered": {"count": 3},
        "acceptable": {"count": 2},
    }
    reports = {
        "measured": {"command": "measure", "date": "2026-01-02", "data": data, "served": served}
        | {"hc18": heads, "intervals": {"coverage": {"count": 3}}},
        "fitted": {"command": "fit", "date": "2026-01-01", "data": data}
        | {"networks": {"0": "0", "2": "2"}, "facts": FACTS},
    }

    def call(**changed):
        paths = []
        for name, report in reports.items():
            paths.append(tmp_path / f"{name}.json")
            paths[-1].write_text(json.dumps(report | changed.get(name, {})))
        return main(["record-out-of-fold", "--model", str(tmp_path), *map(str, paths)])

    return call


FACTS = {
    name: SHIPPED["uncertainty"][name]
    for name in ("error", "size_exponent", "large_error", "interval", "limits")
}


def test_figures_and_facts_of_the_folds_are_recorded_with_their_networks(record, tmp_path):
    """Other facts stay. Both sections say which networks they are of, and how the model differs."""
    assert record() == 0
    manifest = json.loads((tmp_path / MANIFEST_NAME).read_text())
    assert load_manifest(tmp_path).uncertainty == to_uncertainty_model(FACTS)
    rest = {name: manifest[name] for name in SHIPPED if name not in ("accuracy", "uncertainty")}
    assert rest == {name: SHIPPED[name] for name in rest}
    accuracy, uncertainty = manifest["accuracy"]["out_of_fold"], manifest["uncertainty"]
    assert (accuracy["command"], uncertainty["command"]) == ("measure", "fit")
    assert accuracy["data"]["images"] == 3
    assert accuracy["summary"]["figures"]["bias_mm"]["value"] == 0.1
    assert accuracy["weights"]["name"] == SHIPPED["name"]
    for each in (accuracy["weights"], uncertainty):
        assert each["networks"] == {"0": "0", "2": "2"}
        assert f"version {SHIPPED['version']} was trained on the data of all folds" in each["note"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fitted": {"networks": {"0": "0", "2": "other"}}}, "of other networks or folds"),
        ({"fitted": {"networks": {"0": "0"}}}, "of other networks or folds"),
        ({"measured": {"served": []}}, "of other networks or folds"),
        (
            {
                "measured": {"served": [SERVED | {"macs": 1, "fold": 0, "sha256": "0"}]},
                "fitted": {"networks": {"0": "0"}},
            },
            r"fold 0 is not of the model's architecture.*'macs': 1\b",
        ),
    ],
)
def test_reports_of_other_networks_are_refused(record, tmp_path, changed, message):
    """The manifest does not change."""
    before = (tmp_path / MANIFEST_NAME).read_bytes()
    with pytest.raises(SystemExit, match=message):
        record(**changed)
    assert (tmp_path / MANIFEST_NAME).read_bytes() == before


def test_uncertainty_that_does_not_load_is_refused(record, tmp_path):
    """A wrongly typed fact is an error, and the manifest does not change."""
    before = (tmp_path / MANIFEST_NAME).read_bytes()
    with pytest.raises(ModelArtifactError, match="wrongly typed fact"):
        record(fitted={"facts": FACTS | {"limits": {}}})
    assert (tmp_path / MANIFEST_NAME).read_bytes() == before


def read_all(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_build_replaces_the_files_with_its_names(model_dir):
    """Its own files move in, others stay, and nothing is left beside the folder."""
    (model_dir / "README.md").write_text("a model card")
    with replace_files(model_dir) as new_dir:
        write_manifest(new_dir, {"name": "new"})
        (new_dir / "model.onnx").write_bytes(b"new")
    assert set(read_all(model_dir)) == {MANIFEST_NAME, "README.md", "model.onnx"}
    assert json.loads((model_dir / MANIFEST_NAME).read_text()) == {"name": "new"}
    assert not new_dir.exists()


@pytest.fixture
def calibration_dir(tmp_path):
    """Write one calibration image, numbered as the committed split has it."""
    name = f"{json.loads(SPLIT_PATH.read_text())['calibration'][0]:03d}_HC.png"
    folder = tmp_path / "hc18"
    (folder / IMAGE_FOLDER).mkdir(parents=True)
    cv2.imwrite(str(folder / IMAGE_FOLDER / name), np.zeros((54, 80), np.uint8))
    head = "filename,pixel size(mm),head circumference (mm)"
    (folder / TABLE_NAME).write_text(f"{head}\n{name},0.1,100.0\n")
    return folder


def test_failed_build_does_not_change_the_folder(tmp_path, calibration_dir):
    """An export that returns NaN is an error; the shipped model stays."""
    network = AttentionResUNet(width=2)
    torch.nn.init.constant_(network.head.bias, float("nan"))
    save_weights(network, tmp_path / "checkpoint.safetensors")
    (tmp_path / "training.json").write_text('{"version": "1"}')
    model_dir = tmp_path / "model"
    model_dir.mkdir()
    for name in (MANIFEST_NAME, "model.onnx", "model.fp16.onnx"):
        (model_dir / name).write_text(f"the shipped {name}")
    before = read_all(model_dir)
    with pytest.raises(InferenceError, match="NaN or infinity"):
        build(
            tmp_path / "checkpoint.safetensors",
            model_dir,
            calibration_dir,
            training_notes=tmp_path / "training.json",
        )
    assert read_all(model_dir) == before
    assert [path.name for path in tmp_path.glob("model*")] == ["model"]


def test_weights_without_a_version_are_not_exported(tmp_path, calibration_dir):
    """The manifest's version comes from the training notes."""
    save_weights(AttentionResUNet(width=2), tmp_path / "checkpoint.safetensors")
    notes = tmp_path / "training.json"
    notes.write_text("{}")
    with pytest.raises(SystemExit, match="has no version"):
        build(
            tmp_path / "checkpoint.safetensors",
            tmp_path / "model",
            calibration_dir,
            training_notes=notes,
        )


def test_recipe_of_a_fold_run_becomes_the_training_record(tmp_path):
    """Without training.json, the recipe and the checkpoint's record say what the run saw."""
    weights = tmp_path / "weights.safetensors"
    seen = Seen(exams=(3,), groups=("Egypt 1",))
    record = NetworkRecord("attention-resunet", {"width": 2}, seen)
    save_weights(AttentionResUNet(width=2), weights, record=record)
    with pytest.raises(SystemExit, match=r"training\.json is missing"):
        load_training_notes(weights)
    (tmp_path / "recipe.json").write_text('{"fold": 0}')
    notes = load_training_notes(weights)
    parts = ["train", "calibration", "test"]
    assert notes == {"recipe": {"fold": 0, "parts": parts}, "seen": asdict(seen)}
    with pytest.raises(SystemExit, match=r"other\.json is missing"):
        load_training_notes(weights, tmp_path / "other.json")
    (tmp_path / "training.json").write_text('{"version": "1"}')
    assert load_training_notes(weights) == {"version": "1"}


def test_half_time_network_is_built_from_its_recipe(tmp_path, calibration_dir):
    """Version and limits come from the command line, the rest from recipe and checkpoint."""
    options = {"channels": (2, 2, 2, 4, 4), "halving_stem": True, "head_plane": True}
    record = NetworkRecord("attention-resunet", options, Seen(exams=(3,), groups=()))
    weights = tmp_path / "checkpoint.safetensors"
    save_weights(AttentionResUNet(**options), weights, record=record)
    (tmp_path / "recipe.json").write_text('{"fold": null}')
    limits = tmp_path / "limits.json"
    limits.write_text('{"head_plane": {"minimum_probability": 0.5}}')
    places = ["--checkpoint", weights, "--out", tmp_path / "model", "--data", calibration_dir]
    command = ["build", *places, "--version", "3.0.0", "--limits", limits]
    assert main(list(map(str, command))) == 0
    manifest = load_manifest(tmp_path / "model")
    assert (manifest.name, manifest.version) == ("attention-resunet-half", "3.0.0")
    assert manifest.trained_on == ("train", "calibration", "test")
    assert manifest.head_plane == replace(HEAD_PLANE, minimum_probability=0.5)
    facts = json.loads((tmp_path / "model" / MANIFEST_NAME).read_text())
    assert facts["training"]["seen"]["exams"] == [3]
    assert facts["macs"] > 0


def test_limits_of_a_file_replace_the_default_ones(tmp_path):
    """What the file lacks stays; a network without the output has no limits for it."""
    path = tmp_path / "limits.json"
    path.write_text('{"mask": {"threshold": 0.48}, "head_plane": {"minimum_probability": 0.4}}')
    limits = load_limits(path, is_judging=True)
    assert limits["mask"] == asdict(MASK) | {"threshold": 0.48}
    assert limits["head_plane"] == asdict(HEAD_PLANE) | {"minimum_probability": 0.4}
    assert set(load_limits(path, is_judging=False)) == {"mask"}
    assert load_limits(None, is_judging=True)["mask"] == asdict(MASK)
    path.write_text('{"mask": {"nothing": 0.48}}')
    with pytest.raises(TypeError, match="nothing"):
        load_limits(path, is_judging=True)


@pytest.mark.parametrize(
    ("options", "name"),
    [({"width": 2}, "attention-resunet-2"), (HALF_TIME, "attention-resunet-half")],
)
def test_name_says_width_or_half_resolution(options, name):
    """The half-resolution network has other channels than its first level's width suggests."""
    assert to_name(AttentionResUNet(**options), "attention-resunet") == name
