import json

import pytest

from headcirc.manifest import MANIFEST_NAME
from model_export.__main__ import main, record_accuracy, write_manifest

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
