"""What was measured or learned of a model, written into its manifest."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headcirc.manifest import MANIFEST_NAME, load_manifest


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
    """
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    learned = json.loads(fit_path.read_text())
    if learned["model_sha256"] not in {each["sha256"] for each in manifest["graphs"].values()}:
        raise SystemExit(f"{fit_path.name} was learned from other weights; fit again.")
    origin = {key: learned[key] for key in ("command", "date", "data", "precision")}
    write_manifest(model_dir, manifest | {"doubt": origin | learned["facts"]})
    load_manifest(model_dir)
