"""Write a model's manifest, and measured accuracy and a fitted uncertainty model into it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headcirc.model.manifest import MANIFEST_NAME, to_manifest

NETWORK_FACTS = ("name", "parameters", "macs")
"""Facts of the manifest that networks with the same architecture and channels share."""


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


def record_out_of_fold(model_dir: Path, measured_path: Path, fitted_path: Path) -> None:
    """Write the out-of-fold accuracy and the uncertainty model of all folds into the manifest.

    Parameters
    ----------
    model_dir : Path
        The model whose manifest is changed. Its network is that of the folds, trained on all data.
    measured_path : Path
        JSON file of `evaluation.out_of_fold measure`.
    fitted_path : Path
        JSON file of `evaluation.out_of_fold fit`.

    Raises
    ------
    SystemExit
        The files are not of the same networks, or a network is not of the model's architecture.
    ModelArtifactError
        The new manifest would not be readable. It is not written then.
    """
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    measured, fitted = (json.loads(path.read_text()) for path in (measured_path, fitted_path))
    networks = {str(each["fold"]): each["sha256"] for each in measured["served"]}
    if networks != fitted["networks"]:
        raise SystemExit(
            f"{measured_path.name} and {fitted_path.name} are of other networks or folds. Run "
            "`python -m evaluation.out_of_fold fit`, then `measure`."
        )
    for served in measured["served"]:
        _require_same_network(manifest, served, measured_path)
    origin = {
        "networks": networks,
        "note": f"version {manifest['version']} was trained on the data of all folds; each of "
        "these networks on all but its own fold, in fewer runs",
    }
    kept = ("command", "date", "data")
    facts = {key: fitted[key] for key in kept} | origin | fitted["facts"]
    accuracy = {key: measured[key] for key in kept} | _to_accuracy(measured, origin)
    recorded = manifest | {"uncertainty": facts, "accuracy": {"out_of_fold": accuracy}}
    to_manifest(recorded, model_dir)
    write_manifest(model_dir, recorded)


def _require_same_network(manifest: dict[str, Any], served: dict[str, Any], path: Path) -> None:
    found, own = ({key: each[key] for key in NETWORK_FACTS} for each in (served, manifest))
    if found != own:
        raise SystemExit(
            f"{path.name}: the network of fold {served['fold']} is not of the model's "
            f"architecture: {found}, but the model is {own}."
        )


def _to_accuracy(measured: dict[str, Any], origin: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of HC18, with the names that the manifest's other parts have."""
    heads, first = measured["hc18"], measured["served"][0]
    return {
        "precision": first["precision"],
        "weights": {"name": first["name"]} | origin,
        "summary": heads["all"],
        "bins": heads["bins"],
        "of_acceptable": heads["of_acceptable"],
        "answered": heads["answered"],
        "acceptable": heads["acceptable"],
        "interval_coverage": measured["intervals"]["coverage"],
    }
