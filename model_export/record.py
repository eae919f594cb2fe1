"""What was measured or learned of a model, written into its manifest."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headcirc.manifest import MANIFEST_NAME, to_manifest


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


def record_accuracy(model_dir: Path, results: Sequence[Path]) -> None:
    """Copy what `benchmarks.accuracy` measured into the manifest, by part.

    Raises
    ------
    SystemExit
        The figures belong to other weights.
    """
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    shipped = {graph["sha256"] for graph in manifest["graphs"].values()}
    accuracy: dict[str, Any] = {}
    for path in results:
        measured = json.loads(path.read_text())
        if measured["model"]["sha256"] not in shipped:
            raise SystemExit(f"{path.name} was measured on other weights; measure again.")
        figures = {key: measured[key] for key in ("command", "date", "data", "summary", "bins")}
        precision = {"precision": measured["model"]["precision"]}
        accuracy[measured["data"]["part"]] = precision | figures
    write_manifest(model_dir, manifest | {"accuracy": accuracy})


def record_doubt(model_dir: Path, fit_path: Path) -> None:
    """Copy what `benchmarks.doubt fit` learned into the manifest.

    Raises
    ------
    SystemExit
        It was learned from other weights.
    ModelArtifactError
        The manifest would no longer be read; it stays as it was.
    """
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    learned = json.loads(fit_path.read_text())
    if learned["model_sha256"] not in {each["sha256"] for each in manifest["graphs"].values()}:
        raise SystemExit(f"{fit_path.name} was learned from other weights; fit again.")
    origin = {key: learned[key] for key in ("command", "date", "data", "precision")}
    with_doubt = manifest | {"doubt": origin | learned["facts"]}
    to_manifest(with_doubt, model_dir)
    write_manifest(model_dir, with_doubt)
