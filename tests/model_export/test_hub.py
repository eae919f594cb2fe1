import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from headcirc.model.manifest import MANIFEST_NAME, load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR
from model_export import hub
from model_export.__main__ import main
from model_export.hub import remove_relative_links
from model_export.record import write_manifest
from training.checkpoint import find_checkpoint, to_file_sha256

DRAWN_MM, TOLERANCE_MM = 184.0, 3.0


FIGURES = {name: {"value": 0.98765} for name, _, _ in hub.FIGURES}
DATA = {"images": 472, "folds": [0, 1, 2], "available": {"folds": 5}}


@pytest.fixture(scope="module")
def hub_dir(tmp_path_factory) -> Path:
    """Return the folder of the shipped model with other figures, which are known."""
    model_dir = tmp_path_factory.mktemp("model") / "shipped"
    shutil.copytree(SHIPPED_MODEL_DIR, model_dir)
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    manifest["accuracy"] = {"out_of_fold": {"data": DATA, "summary": {"figures": FIGURES}}}
    write_manifest(model_dir, manifest)
    folder = tmp_path_factory.mktemp("hub") / "folder"
    folder.mkdir()
    (folder / "stale.onnx").write_bytes(b"of the time before")
    assert main(["hub", "--model", str(model_dir), "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def card(hub_dir) -> list[str]:
    """Return the card's metadata and its text."""
    _, front, text = (hub_dir / "README.md").read_text().split("---\n", 2)
    return [yaml.safe_load(front), text]


def test_folder_has_weights_graphs_card_licence_and_example(hub_dir):
    """It has every graph of the manifest, and no older files."""
    manifest = json.loads((hub_dir / MANIFEST_NAME).read_text())
    graphs = (*manifest["graphs"].values(), *manifest["explain"]["graphs"].values())
    others = {
        "README.md", "LICENSE", "model.safetensors", MANIFEST_NAME, "example.py", "example.png",
        ".gitattributes",
    }  # fmt: skip
    assert {path.name for path in hub_dir.iterdir()} == others | {each["file"] for each in graphs}
    assert manifest["checkpoint"]["file"] == "model.safetensors"
    found = find_checkpoint(hub_dir)
    assert found.parent == hub_dir
    assert to_file_sha256(found) == manifest["checkpoint"]["sha256"]


def test_example_measures_the_picture(hub_dir, tmp_path):
    """`example.py` runs with the model in its folder."""
    paths = os.pathsep.join(each for each in sys.path if each)
    done = subprocess.run(
        [sys.executable, hub_dir / "example.py"],
        cwd=tmp_path, env=dict(os.environ) | {"PYTHONPATH": paths},  # noqa: TID251 - a child's
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    measured_mm = float(re.search(r"head circumference: ([\d.]+) mm", done.stdout).group(1))
    assert measured_mm == pytest.approx(DRAWN_MM, abs=TOLERANCE_MM)
    assert (tmp_path / "overlay.png").is_file()


def test_metadata_has_the_figures_of_the_manifest(card):
    """The hub reads licence, task and measured figures from the card's front matter."""
    metadata, _ = card
    assert (metadata["license"], metadata["pipeline_tag"]) == ("cc-by-4.0", "image-segmentation")
    ((result,),) = (each["results"] for each in metadata["model-index"])
    values = {each["type"]: each["value"] for each in result["metrics"]}
    assert values["mean_absolute_error_mm"] == 0.99
    assert values["ellipse_dice"] == 98.77
    assert "472 images" in result["dataset"]["name"]
    assert "folds 0, 1, 2 of 5" in result["dataset"]["name"]


def test_card_has_usage_and_no_broken_link(card, hub_dir):
    """The example as it runs, the card's own text, and no link into the repository."""
    _, text = card
    assert text.lstrip().startswith(f"# Model card: {load_manifest(hub_dir).name}")
    assert "model = headcirc.load_model(here)" in text
    assert "Intended use" in text
    (files,) = re.findall(r"^\| Files \|.*$", text, flags=re.MULTILINE)
    named = set(re.findall(r"`([^`]+)`", files))
    assert named <= {path.name for path in hub_dir.iterdir()}
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert all(link.startswith(("http", "#")) for link in links)


def test_links_to_files_of_the_repository_become_text():
    """Links to the web and to headings of the page stay."""
    text = "[a](../b.md#c) [d](https://e.org) [f](#g)"
    assert remove_relative_links(text) == "a [d](https://e.org) [f](#g)"
