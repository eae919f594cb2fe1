"""Write measured accuracy and fitted uncertainty models into a model's manifest."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headcirc.model.manifest import MANIFEST_NAME, Manifest, load_manifest, to_manifest


@contextmanager
def replace_files(model_dir: Path) -> Iterator[Path]:
    """Yield an empty folder, and move its files into the model's folder if no error was raised.

    The manifest moves last. Until then, the old manifest does not match the new graphs, so they do
    not load.
    """
    model_dir.mkdir(parents=True, exist_ok=True)
    # A folder beside the model's is on the same file system, so moving a file is atomic.
    with TemporaryDirectory(prefix=f"{model_dir.name}-", dir=model_dir.parent) as name:
        yield Path(name)
        for path in sorted(Path(name).iterdir(), key=lambda path: path.name == MANIFEST_NAME):
            path.replace(model_dir / path.name)


def write_manifest(out_dir: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest as indented JSON."""
    (out_dir / MANIFEST_NAME).write_text(json.dumps(manifest, indent=2) + "\n")


def record_accuracy(model_dir: Path, results: Sequence[Path], measured_dir: Path) -> None:
    """Copy the results of `evaluation.accuracy` into the manifest, by part of the data split.

    Parameters
    ----------
    model_dir : Path
        The model whose manifest is changed.
    results : sequence of Path
        JSON files of `evaluation.accuracy`.
    measured_dir : Path
        The model that was measured: the same model, or its predecessor that was not trained on the
        measured exams.

    Raises
    ------
    SystemExit
        The results were measured with other weights, or they are training figures.
    """
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    source = load_manifest(measured_dir)
    accuracy: dict[str, Any] = {}
    for path in results:
        measured = json.loads(path.read_text())
        part = measured["data"]["part"]
        if part in source.trained_on:
            raise SystemExit(
                f"{path.name} was measured on exams that {source.version} was trained on."
            )
        weights = _to_weights(source, measured["model"]["sha256"], manifest["version"], path)
        figures = {key: measured[key] for key in ("command", "date", "data", "summary", "bins")}
        precision = {"precision": measured["model"]["precision"]}
        accuracy[part] = precision | weights | figures
    write_manifest(model_dir, manifest | {"accuracy": accuracy})


def record_uncertainty(model_dir: Path, fit_path: Path, learned_dir: Path) -> None:
    """Copy the result of `evaluation.uncertainty fit` into the manifest.

    Parameters
    ----------
    model_dir : Path
        The model whose manifest is changed.
    fit_path : Path
        JSON file of `evaluation.uncertainty fit`.
    learned_dir : Path
        The model whose results were used for the fit.

    Raises
    ------
    SystemExit
        The fit used other weights.
    ModelArtifactError
        The new manifest would not be readable. It is not written then.
    """
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    learned = json.loads(fit_path.read_text())
    weights = _to_weights(
        load_manifest(learned_dir), learned["model_sha256"], manifest["version"], fit_path
    )
    origin = {key: learned[key] for key in ("command", "date", "data", "precision")}
    with_uncertainty = manifest | {"uncertainty": origin | weights | learned["facts"]}
    to_manifest(with_uncertainty, model_dir)
    write_manifest(model_dir, with_uncertainty)


def _to_weights(source: Manifest, sha256: str, version: str, path: Path) -> dict[str, Any]:
    """Return the record of the measured weights; raise SystemExit if they are not `source`'s."""
    if sha256 not in {graph.sha256 for graph in source.graphs.values()}:
        raise SystemExit(f"{path.name} was made with other weights. Measure again.")
    weights = {"name": source.name, "version": source.version, "sha256": sha256}
    if source.version != version:
        seen = " and ".join(source.trained_on)
        weights["note"] = f"trained on {seen} alone; version {version} was trained on more exams"
    return {"weights": weights}
