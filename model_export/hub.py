"""Write a folder for the Hugging Face hub: model card with metadata, weights, graphs, example.

Figures come from the manifest and the text from the model card in `models/`, so that nothing is
written twice. `headcirc.load_model` can load the folder.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from headcirc.model.manifest import MANIFEST_NAME
from model_export.record import write_manifest
from training.checkpoint import MODELS_DIR, find_checkpoint

ROOT = Path(__file__).parent.parent
WEIGHTS_NAME = "model.safetensors"
"""The name by which the hub counts parameters."""
LARGE_FILES = "\n".join(
    f"{pattern} filter=lfs diff=lfs merge=lfs -text" for pattern in ("*.onnx", "*.safetensors")
)
FIGURES = (
    ("mean_absolute_error_mm", "Head circumference, mean absolute error (mm)", 1.0),
    ("bias_mm", "Head circumference, signed error (mm)", 1.0),
    ("ellipse_dice", "Dice of the ellipse (%)", 100.0),
    ("mask_dice", "Dice of the mask (%)", 100.0),
)
"""Key in the manifest's summary, name on the hub, and factor to the unit of that name."""
FILES = (
    "| Files | `model.safetensors` (weights of the PyTorch network), `model.onnx` (float32), "
    "`model.int8.onnx` (for CPUs), `model.fp16.onnx` (for GPUs), `model.explain.onnx` and "
    "`model.explain.fp16.onnx` (Grad-CAM, attention), `manifest.json` (all facts), `example.py` |"
)
"""Replaces the card's row, which names the folders of the repository."""
USAGE = """
## How to use it

```sh
pip install 'headcirc[cpu]'    # from a checkout or a wheel of the Headcirc project
python example.py
```

`example.py` measures `example.png`, a drawn head of 184.0 mm at 0.1277 mm a pixel:

```python
{example}```

`model.onnx` takes `network_input` (n, 1, 256, 256), float32, normalised as `manifest.json` says,
and returns `probability_map`. `model.safetensors` holds the weights of the PyTorch network. The
measured figures are those of the whole pipeline, not of the network alone.

"""


def write_hub_folder(model_dir: Path, out_dir: Path) -> None:
    """Write the folder; its previous content is removed.

    Parameters
    ----------
    model_dir : Path
        Folder with manifest and graphs.
    out_dir : Path
        Folder to write.

    Raises
    ------
    ModelArtifactError
        The checkpoint that the manifest names is missing.
    """
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    checkpoint = find_checkpoint(model_dir)
    shutil.rmtree(out_dir, ignore_errors=True)
    out_dir.mkdir(parents=True)
    for graph in (*manifest["graphs"].values(), *manifest["explain"]["graphs"].values()):
        shutil.copy(model_dir / graph["file"], out_dir)
    shutil.copy(checkpoint, out_dir / WEIGHTS_NAME)
    write_manifest(
        out_dir, manifest | {"checkpoint": manifest["checkpoint"] | {"file": WEIGHTS_NAME}}
    )
    shutil.copy(MODELS_DIR / "LICENSE", out_dir)
    shutil.copy(ROOT / "examples" / "phantom.png", out_dir / "example.png")
    example = (ROOT / "examples" / "hub_example.py").read_text()
    (out_dir / "example.py").write_text(example)
    (out_dir / ".gitattributes").write_text(LARGE_FILES + "\n")
    card = (checkpoint.parent / "README.md").read_text()
    (out_dir / "README.md").write_text(to_card(manifest, card, example))


def to_card(manifest: dict[str, Any], card: str, example: str) -> str:
    """Return the model card with metadata before it and the usage after its introduction."""
    front = yaml.safe_dump(to_metadata(manifest), sort_keys=False, allow_unicode=True, width=100)
    text = remove_relative_links(re.sub(r"^\| Files \|.*$", FILES, card, flags=re.MULTILINE))
    introduction, heading, rest = text.partition("## ")
    usage = USAGE.format(example=example.partition('"""\n\n')[2])
    return f"---\n{front}---\n\n{introduction.rstrip()}\n{usage}{heading}{rest}"


def to_metadata(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the hub's metadata of the card: licence, tags and measured figures."""
    accuracy = manifest["accuracy"]["out_of_fold"]
    figures, data = accuracy["summary"]["figures"], accuracy["data"]
    metrics = [
        {"name": name, "type": key, "value": round(figures[key]["value"] * factor, 2)}
        for key, name, factor in FIGURES
    ]
    result = {
        "task": {"type": "image-segmentation", "name": "Fetal head circumference"},
        "dataset": {
            "name": f"HC18, {data['images']} images, each measured by a network of a fold "
            f"that never saw its exam (folds {', '.join(map(str, data['folds']))} of "
            f"{data['available']['folds']})",
            "type": "hc18",
        },
        "metrics": metrics,
    }
    return {
        "license": "cc-by-4.0",
        "library_name": "onnx",
        "pipeline_tag": "image-segmentation",
        "tags": ["medical", "ultrasound", "fetal-biometry", "head-circumference", "onnx"],
        "model-index": [{"name": manifest["name"], "results": [result]}],
    }


def remove_relative_links(text: str) -> str:
    """Replace links to files of the repository by their text, in Markdown."""
    return re.sub(r"(?<!!)\[([^\]]+)\]\((?!https?://|#)[^)]+\)", r"\1", text)
