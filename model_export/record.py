"""What was measured or learned of a model, written into its manifest."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headcirc.model.manifest import MANIFEST_NAME, Manifest, load_manifest, to_manifest


@contextmanager
def replace_files(model_dir: Path) -> Iterator[Path]:
    """Give an empty folder whose files move into the model's at the end, if nothing was raised.

    The manifest moves last: until it does, it describes other graphs, and those do not load.
    """
    model_dir.mkdir(parents=True, exist_ok=True)
    # Beside it, so on the same file system, where a file moves as a whole or not at all.
    with TemporaryDirectory(prefix=f"{model_dir.name}-", dir=model_dir.parent) as name:
        yield Path(name)
        for path in sorted(Path(name).iterdir(), key=lambda path: path.name == MANIFEST_NAME):
            path.replace(model_dir / path.name)


def write_manifest(out_dir: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest as JSON for people and programs."""
    (out_dir / MANIFEST_NAME).write_text(json.dumps(manifest, indent=2) + "\n")


def record_accuracy(model_dir: Path, results: Sequence[Path], measured_dir: Path) -> None:
    """Copy what `evaluation.accuracy` measured into the manifest, by part.

    Parameters
    ----------
    model_dir : Path
        The model that gets the figures.
    results : sequence of Path
        What the command wrote.
    measured_dir : Path
        The model that was measured: the same, or the one before it that never saw the exams.

    Raises
    ------
    SystemExit
        The figures belong to other weights, or are training figures.
    """
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    source = load_manifest(measured_dir)
    accuracy: dict[str, Any] = {}
    for path in results:
        measured = json.loads(path.read_text())
        part = measured["data"]["part"]
        if part in source.trained_on:
            raise SystemExit(f"{path.name} is of exams that {source.version} was trained on.")
        weights = _to_weights(source, measured["model"]["sha256"], manifest["version"], path)
        figures = {key: measured[key] for key in ("command", "date", "data", "summary", "bins")}
        precision = {"precision": measured["model"]["precision"]}
        accuracy[part] = precision | weights | figures
    write_manifest(model_dir, manifest | {"accuracy": accuracy})


def record_uncertainty(model_dir: Path, fit_path: Path, learned_dir: Path) -> None:
    """Copy what `evaluation.uncertainty fit` learned from the model in `learned_dir`.

    Raises
    ------
    SystemExit
        It was learned from other weights.
    ModelArtifactError
        The manifest would no longer be read; it stays as it was.
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
    """Say whose figures these are; raises SystemExit where they are not those of `source`."""
    if sha256 not in {graph.sha256 for graph in source.graphs.values()}:
        raise SystemExit(f"{path.name} was made with other weights; measure again.")
    weights = {"name": source.name, "version": source.version, "sha256": sha256}
    if source.version != version:
        seen = " and ".join(source.trained_on)
        weights["note"] = f"trained on {seen} alone; version {version} on more, from these weights"
    return {"weights": weights}
