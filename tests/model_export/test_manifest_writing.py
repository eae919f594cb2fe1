import json
import shutil

import cv2
import numpy as np
import pytest
import torch

from headcirc.errors import ModelArtifactError
from headcirc.manifest import MANIFEST_NAME
from headcirc.pipeline import SHIPPED_MODEL_DIR
from model_export.__main__ import build, main, record_accuracy, write_manifest
from model_export.parity import ParityError
from model_export.record import record_doubt, replace_files
from training.attention_resunet import AttentionResUNet
from training.hc18 import IMAGE_FOLDER, SPLIT_PATH, TABLE_NAME
from training.weights import save_weights

FIGURES = {
    "command": "python -m benchmarks.accuracy",
    "date": "2026-01-01",
    "data": {"name": "HC18", "part": "test", "images": 3},
    "summary": {"dice": 0.97},
    "bins": [],
}


@pytest.fixture
def model_dir(tmp_path):
    write_manifest(tmp_path, {"name": "tiny", "graphs": {"fp32": {"sha256": "a" * 64}}})
    return tmp_path


def write_figures(folder, *, sha256, part="test"):
    path = folder / f"{part}.json"
    data, model = FIGURES["data"] | {"part": part}, {"sha256": sha256, "precision": "fp32"}
    path.write_text(json.dumps(FIGURES | {"data": data, "model": model, "rows": [1]}))
    return path


def test_figures_of_the_described_weights_are_recorded_by_part(model_dir):
    """Figures of these weights enter the manifest under their part; its other facts stay."""
    paths = [write_figures(model_dir, sha256="a" * 64, part=part) for part in ("test", "train")]
    assert main(["record-accuracy", "--model", str(model_dir), *map(str, paths)]) == 0
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    assert manifest["name"] == "tiny"
    assert set(manifest["accuracy"]) == {"test", "train"}
    assert manifest["accuracy"]["test"] == FIGURES | {"precision": "fp32"}


def test_figures_of_other_weights_are_refused(model_dir):
    """Figures of other weights raise, and the manifest stays as it was, even after good ones."""
    before = (model_dir / MANIFEST_NAME).read_bytes()
    good = write_figures(model_dir, sha256="a" * 64, part="train")
    other = write_figures(model_dir, sha256="b" * 64)
    with pytest.raises(SystemExit, match=r"test\.json was measured on other weights"):
        record_accuracy(model_dir, [good, other])
    assert (model_dir / MANIFEST_NAME).read_bytes() == before


def read_all(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_doubt_that_does_not_load_is_refused(tmp_path):
    """Learned facts of the wrong kind raise, and the manifest stays as it was."""
    shutil.copy(SHIPPED_MODEL_DIR / MANIFEST_NAME, tmp_path)
    manifest = json.loads((tmp_path / MANIFEST_NAME).read_text())
    facts = {"error": {}, "size_exponent": 1.0, "oddness": {}, "interval": {}, "limits": {}}
    learned = {"command": "", "date": "", "data": {}, "precision": "fp32", "facts": facts}
    fit = tmp_path / "fit.json"
    fit.write_text(json.dumps(learned | {"model_sha256": manifest["graphs"]["fp32"]["sha256"]}))
    before = read_all(tmp_path)
    with pytest.raises(ModelArtifactError, match="lacks a fact"):
        record_doubt(tmp_path, fit)
    assert read_all(tmp_path) == before


def test_model_that_is_built_replaces_the_files_of_its_names(model_dir):
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


def test_model_that_is_refused_leaves_the_folder_as_it_was(tmp_path, calibration_dir):
    """An export whose answers are no numbers raises; the model that shipped ships on."""
    network = AttentionResUNet(width=2)
    torch.nn.init.constant_(network.head.bias, float("nan"))
    save_weights(network, tmp_path / "checkpoint.safetensors")
    (tmp_path / "training.json").write_text("{}")
    model_dir = tmp_path / "model"
    model_dir.mkdir()
    for name in (MANIFEST_NAME, "model.onnx", "model.fp16.onnx"):
        (model_dir / name).write_text(f"the shipped {name}")
    before = read_all(model_dir)
    with pytest.raises(ParityError, match="differs from torch"):
        build(
            tmp_path / "checkpoint.safetensors",
            model_dir,
            calibration_dir,
            tmp_path / "training.json",
        )
    assert read_all(model_dir) == before
    assert [path.name for path in tmp_path.glob("model*")] == ["model"]
