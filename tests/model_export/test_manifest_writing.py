import json
import shutil
from dataclasses import asdict

import cv2
import numpy as np
import pytest
import torch

from evaluation.unseen_exams import SPLIT_MODEL_DIR
from headcirc.errors import InferenceError, ModelArtifactError
from headcirc.model.manifest import MANIFEST_NAME, load_manifest
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
from model_export.record import record_uncertainty, replace_files
from training.checkpoint import NetworkRecord, save_weights
from training.data.hc18 import IMAGE_FOLDER, SPLIT_PATH, TABLE_NAME
from training.lineage import Seen
from training.networks.attention_resunet import HALF_TIME, AttentionResUNet

FIGURES = {
    "command": "python -m evaluation.accuracy",
    "date": "2026-01-01",
    "data": {"name": "HC18", "part": "test", "images": 3},
    "summary": {"dice": 0.97},
    "bins": [],
}


SHA256 = load_manifest(SPLIT_MODEL_DIR).graphs["int8"].sha256


@pytest.fixture
def model_dir(tmp_path):
    write_manifest(tmp_path, {"name": "tiny", "version": "9"})
    return tmp_path


def write_figures(folder, *, sha256=SHA256, part="test"):
    path = folder / f"{part}.json"
    data, model = FIGURES["data"] | {"part": part}, {"sha256": sha256, "precision": "int8"}
    path.write_text(json.dumps(FIGURES | {"data": data, "model": model, "rows": [1]}))
    return path


def record(model_dir, *paths, measured_dir=SPLIT_MODEL_DIR):
    names = [*map(str, paths), "--measured", str(measured_dir)]
    return main(["record-accuracy", "--model", str(model_dir), *names])


def test_figures_are_recorded_by_part_with_the_weights_they_belong_to(model_dir):
    """Figures of the predecessor are recorded with a note, and other facts do not change."""
    paths = [write_figures(model_dir, part=part) for part in ("test", "calibration")]
    assert record(model_dir, *paths) == 0
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    assert manifest["name"] == "tiny"
    assert set(manifest["accuracy"]) == {"test", "calibration"}
    weights = manifest["accuracy"]["test"].pop("weights")
    assert manifest["accuracy"]["test"] == FIGURES | {"precision": "int8"}
    note = "trained on train alone; version 9 was trained on more exams"
    version = load_manifest(SPLIT_MODEL_DIR).version
    named = {"name": "attention-resunet-16", "version": version, "sha256": SHA256}
    assert weights == named | {"note": note}


def test_a_model_s_own_figures_need_no_note(tmp_path):
    """Without --measured, the figures must belong to the model itself."""
    shutil.copy(SPLIT_MODEL_DIR / MANIFEST_NAME, tmp_path)
    path = write_figures(tmp_path)
    assert main(["record-accuracy", "--model", str(tmp_path), str(path)]) == 0
    weights = load_manifest(tmp_path).accuracy["test"]["weights"]
    assert set(weights) == {"name", "version", "sha256"}


def test_figures_of_other_weights_are_refused(model_dir):
    """The manifest does not change, even if earlier files were valid."""
    before = (model_dir / MANIFEST_NAME).read_bytes()
    good = write_figures(model_dir, part="calibration")
    other = write_figures(model_dir, sha256="b" * 64)
    with pytest.raises(SystemExit, match=r"test\.json was made with other weights"):
        record(model_dir, good, other)
    assert (model_dir / MANIFEST_NAME).read_bytes() == before


def test_training_figures_are_refused(model_dir):
    """Figures measured on the training exams of the weights are not recorded."""
    path = write_figures(model_dir, part="train")
    with pytest.raises(SystemExit, match=r"train\.json was measured on exams .* trained on"):
        record(model_dir, path)


def read_all(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_uncertainty_that_does_not_load_is_refused(tmp_path):
    """A wrongly typed fact is an error, and the manifest does not change."""
    shutil.copy(SHIPPED_MODEL_DIR / MANIFEST_NAME, tmp_path)
    manifest = json.loads((tmp_path / MANIFEST_NAME).read_text())
    facts = {
        "error": {},
        "size_exponent": 1.0,
        "large_error": {},
        "interval": {},
        "limits": {},
    }
    learned = {"command": "", "date": "", "data": {}, "precision": "fp32", "facts": facts}
    fit = tmp_path / "fit.json"
    fit.write_text(json.dumps(learned | {"model_sha256": manifest["graphs"]["fp32"]["sha256"]}))
    before = read_all(tmp_path)
    with pytest.raises(ModelArtifactError, match="wrongly typed fact"):
        record_uncertainty(tmp_path, fit, tmp_path)
    assert read_all(tmp_path) == before


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
