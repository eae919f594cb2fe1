"""Pair the model of each fold with the images and planes that it never saw."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headcirc.backends.registry import choose_backend, choose_graph
from headcirc.errors import ModelArtifactError
from headcirc.model.graph import Graph
from headcirc.model.manifest import MANIFEST_NAME, load_manifest
from headcirc.pipeline import Pipeline, load_pipeline
from training.data.folds import FOLDS, Folds, to_held_out_items
from training.data.hc18 import HC18Image, load_images
from training.data.planes import Plane, load_planes
from training.lineage import Seen, require_unseen


@dataclass(frozen=True)
class FoldModel:
    """A fold's model and the data that the fold holds out.

    Attributes
    ----------
    fold : int
    model_dir : Path
        Folder with the manifest and the graphs.
    images : list of HC18Image
    planes : list of Plane
    """

    fold: int
    model_dir: Path
    images: list[HC18Image]
    planes: list[Plane]

    def choose_graph(self) -> Graph:
        """Return the graph that `load` runs, without loading it."""
        return choose_graph(load_manifest(self.model_dir), choose_backend("auto"), "auto")

    def load(self, **options: Any) -> Pipeline:
        """Return the fold's pipeline, by default in the precision that the service would choose.

        The options are those of `load_pipeline`.
        """
        return load_pipeline(self.model_dir, **options)


def load_fold_models(
    folds_dir: Path, hc18_dir: Path, planes_dir: Path | None = None
) -> list[FoldModel]:
    """Return the models in the subfolders `0` to `4`, as far as they exist, in this order.

    Without `planes_dir` they have no planes.

    Raises
    ------
    FileNotFoundError
        There is no model, or no data.
    ModelArtifactError
        A model saw held-out data, or its manifest does not list what it saw.
    """
    numbers = [n for n in range(FOLDS) if (folds_dir / str(n) / MANIFEST_NAME).is_file()]
    if not numbers:
        raise FileNotFoundError(
            f"No model of a fold in {str(folds_dir)!r}. Export them: make fold-models"
        )
    planes = [] if planes_dir is None else load_planes(planes_dir)
    return pair(folds_dir, numbers, load_images(hc18_dir), planes)


def count_available(hc18_dir: Path, planes_dir: Path) -> dict[str, int]:
    """Return how many folds, HC18 images and planes there are, measured or not."""
    images, planes = load_images(hc18_dir), load_planes(planes_dir)
    return {"folds": FOLDS, "images": len(images), "planes": len(planes)}


def pair(
    folds_dir: Path,
    numbers: Sequence[int],
    images: Sequence[HC18Image],
    planes: Sequence[Plane],
) -> list[FoldModel]:
    """Return the chosen folds' models with their held-out data, which is checked as unseen."""
    folds = Folds()
    models = []
    for number in numbers:
        model_dir = folds_dir / str(number)
        _require_unseen(model_dir, folds, number)
        held_out = [to_held_out_items(items, folds, number) for items in (images, planes)]
        models.append(FoldModel(number, model_dir, *held_out))
    return models


def _require_unseen(model_dir: Path, folds: Folds, number: int) -> None:
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    record = manifest.get("training", {}).get("seen")
    seen = None if record is None else Seen.from_json(record)
    try:
        require_unseen(seen, folds, number, who=f"{manifest['name']} {manifest['version']}")
    except ValueError as error:
        raise ModelArtifactError(str(error)) from error
