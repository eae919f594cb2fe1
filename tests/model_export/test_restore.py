import json
import shutil

import pytest

from evaluation.unseen_exams import SPLIT_MODEL_DIR
from headcirc.errors import ModelArtifactError
from headcirc.model.manifest import MANIFEST_NAME
from headcirc.pipeline import SHIPPED_MODEL_DIR
from model_export.__main__ import restore
from training.checkpoint import (
    CHECKPOINT_NAME,
    MODELS_DIR,
    find_checkpoint,
    save_weights,
    to_file_sha256,
)
from training.networks.attention_resunet import AttentionResUNet


def copy_manifest(source, folder, *, without=()):
    """Copy a manifest, less some precisions, and return the folder."""
    manifest = json.loads((source / MANIFEST_NAME).read_text())
    for precision in without:
        del manifest["graphs"][precision]
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest))
    return folder


@pytest.mark.slow
def test_graphs_are_restored_from_the_checkpoint_bit_for_bit(tmp_path):
    """The repository stores only the split model's checkpoint; the export is reproducible."""
    model_dir = copy_manifest(SPLIT_MODEL_DIR, tmp_path, without=["int8"])
    before = (model_dir / MANIFEST_NAME).read_bytes()
    restore(model_dir, find_checkpoint(model_dir), tmp_path / "no HC18 is needed without INT8")
    manifest = json.loads(before)
    graphs = (*manifest["graphs"].values(), *manifest["explain"]["graphs"].values())
    for graph in graphs:
        assert to_file_sha256(model_dir / graph["file"]) == graph["sha256"]
    assert (model_dir / MANIFEST_NAME).read_bytes() == before


def test_graphs_of_other_weights_are_not_restored(tmp_path):
    """Another checkpoint is an error, and the folder does not change."""
    model_dir = copy_manifest(SPLIT_MODEL_DIR, tmp_path, without=["int8"])
    other = tmp_path / "other.safetensors"
    save_weights(AttentionResUNet(width=2), other)
    with pytest.raises(SystemExit, match=r"other\.safetensors is not the checkpoint"):
        restore(model_dir, other, tmp_path)
    assert {path.name for path in model_dir.iterdir()} == {MANIFEST_NAME, other.name}


def test_checkpoint_of_the_shipped_model_is_found_by_its_sha256():
    """It lies in the repository, not in the wheel, under any name."""
    found = find_checkpoint(SHIPPED_MODEL_DIR)
    manifest = json.loads((SHIPPED_MODEL_DIR / MANIFEST_NAME).read_text())
    assert found.parent.parent == MODELS_DIR
    assert to_file_sha256(found) == manifest["checkpoint"]["sha256"]


def test_checkpoint_with_another_sha256_is_not_used(tmp_path):
    """Neither a damaged file of the right name nor another model's checkpoint is used."""
    shutil.copy(SHIPPED_MODEL_DIR / MANIFEST_NAME, tmp_path)
    (tmp_path / CHECKPOINT_NAME).write_bytes(b"damaged")
    assert find_checkpoint(tmp_path) == find_checkpoint(SHIPPED_MODEL_DIR)
    manifest = json.loads((tmp_path / MANIFEST_NAME).read_text())
    manifest["checkpoint"]["sha256"] = "0" * 64
    (tmp_path / MANIFEST_NAME).write_text(json.dumps(manifest))
    with pytest.raises(ModelArtifactError, match=f"no checkpoint of {manifest['name']}"):
        find_checkpoint(tmp_path)
