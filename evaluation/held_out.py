"""Load the folds' models with the HC18 images that they never saw, and begin a study's report."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.out_of_fold.models import load_fold_models
from harness.machine import describe_machine, to_model_facts, to_timestamp
from headcirc.errors import HeadCircumferenceError
from headcirc.pipeline import Pipeline
from training.data.hc18 import HC18Image

Pairs = list[tuple[Pipeline, HC18Image]]


@dataclass(frozen=True)
class LoadedFold:
    """A fold's number, its loaded model, and the images that the fold holds out.

    Attributes
    ----------
    fold : int
    model_dir : Path
    pipeline : Pipeline
    images : list of HC18Image
    """

    fold: int
    model_dir: Path
    pipeline: Pipeline
    images: list[HC18Image]


def load_folds(
    parser: argparse.ArgumentParser, chosen: argparse.Namespace, **options: Any
) -> list[LoadedFold]:
    """Load the folds that the command line chooses; end the command if that is not possible.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Prints the error.
    chosen : argparse.Namespace
        With `folds` and `data`, and perhaps `every`, which takes every n-th image of each fold.
    **options
        Of `load_pipeline`. By default the precision is the one that the service would choose.

    Raises
    ------
    SystemExit
        Status 2: a model or HC18 is missing, or a model saw images that it should be measured on.
    """
    every = getattr(chosen, "every", 1)
    try:
        return [
            LoadedFold(model.fold, model.model_dir, model.load(**options), model.images[::every])
            for model in load_fold_models(chosen.folds, chosen.data)
        ]
    except (OSError, HeadCircumferenceError) as error:
        parser.error(str(error))


def to_pairs(folds: Sequence[LoadedFold]) -> Pairs:
    """Return each image with the pipeline of the fold that holds it out."""
    return [(each.pipeline, image) for each in folds for image in each.images]


def to_fold_header(command: str, folds: Sequence[LoadedFold], *, every: int = 1) -> dict[str, Any]:
    """Return the first fields of the report of a study of held-out images.

    Parameters
    ----------
    command : str
        The command that makes the report again.
    folds : sequence of LoadedFold
    every : int
        The value of `--every`; it is added to the command if it is not 1.
    """
    return {
        "command": f"{command} --every {every}" if every > 1 else command,
        "date": to_timestamp(),
        "machine": describe_machine(),
        "folds": [
            {"fold": each.fold} | describe_graph(each.pipeline) | {"images": len(each.images)}
            for each in folds
        ],
        "images": sum(len(each.images) for each in folds),
    }


def describe_graph(pipeline: Pipeline) -> dict[str, str]:
    """Return the name and version of a model, and the precision and SHA-256 of its graph."""
    graph = {"precision": pipeline.backend.precision, "sha256": pipeline.graph.sha256}
    return to_model_facts(pipeline.manifest) | graph
