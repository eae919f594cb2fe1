"""What a shipped model is: the facts that travel with its weights.

`model_export` writes `manifest.json`; everything that runs the model reads it here. Facts about
one deployment (port, limits, backend) are not model facts and do not live here.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headcirc.errors import ModelArtifactError

MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class InputFacts:
    """The network's grid and how grey values enter it.

    Attributes
    ----------
    width_px, height_px : int
        Size of the network's grid.
    pixel_aspect : float
        Width over height of the frame area that one network pixel covers.
    mean, standard_deviation : float
        Of the training frames' grey values, on a scale from 0 to 1.
    """

    width_px: int
    height_px: int
    pixel_aspect: float
    mean: float
    standard_deviation: float


@dataclass(frozen=True)
class MaskFacts:
    """How probabilities become a head.

    Attributes
    ----------
    threshold : float
        A pixel belongs to the head above this probability.
    minimum_head_share : float
        Smallest area of a head, as a share of the frame's.
    minimum_mean_probability : float
        Of the pixels of a head; below it the network sees no head, whatever its threshold says.
    ellipticity_power : float
        How much shape counts against area where there are several components.
    """

    threshold: float
    minimum_head_share: float
    minimum_mean_probability: float
    ellipticity_power: float


@dataclass(frozen=True)
class Manifest:
    """All facts of one model, and where its files lie.

    Attributes
    ----------
    name, version : str
    width, parameters : int
        Channels of the first level; trained parameters.
    input, mask : InputFacts, MaskFacts
    onnx_path : Path
    sha256 : str
        Of the ONNX file's bytes.
    precision : str
        Of the ONNX file's arithmetic.
    accuracy : dict
        As measured: data, n, figures with intervals, command. Empty before it was measured.
    """

    name: str
    version: str
    width: int
    parameters: int
    input: InputFacts
    mask: MaskFacts
    onnx_path: Path
    sha256: str
    precision: str
    accuracy: dict[str, Any] = field(default_factory=dict)


def load_manifest(artifact_dir: Path) -> Manifest:
    """Read a model's manifest and check its weights against it.

    Raises
    ------
    ModelArtifactError
        A file is missing, a fact is missing or of the wrong kind, or the weights are not those
        that the manifest describes.
    """
    manifest_path = artifact_dir / MANIFEST_NAME
    try:
        facts = json.loads(manifest_path.read_text())
    except FileNotFoundError as error:
        raise ModelArtifactError(
            f"The model folder {artifact_dir.name!r} has no {MANIFEST_NAME}; name the folder of a "
            "shipped model."
        ) from error
    except ValueError as error:
        raise ModelArtifactError(f"{MANIFEST_NAME} is no JSON: {error}.") from error
    manifest = _to_manifest(facts, artifact_dir)
    require_intact(manifest)
    return manifest


def _to_manifest(facts: dict[str, Any], artifact_dir: Path) -> Manifest:
    if facts.get("schema_version") != SCHEMA_VERSION:
        raise ModelArtifactError(
            f"{MANIFEST_NAME} has schema version {facts.get('schema_version')}; this software "
            f"reads version {SCHEMA_VERSION}. Export the model again."
        )
    try:
        onnx = facts["onnx"]
        return Manifest(
            name=facts["name"],
            version=facts["version"],
            width=facts["width"],
            parameters=facts["parameters"],
            input=InputFacts(**facts["input"]),
            mask=MaskFacts(**facts["mask"]),
            onnx_path=artifact_dir / onnx["file"],
            sha256=onnx["sha256"],
            precision=onnx["precision"],
            accuracy=facts.get("accuracy", {}),
        )
    except (KeyError, TypeError) as error:
        raise ModelArtifactError(
            f"{MANIFEST_NAME} lacks a fact or has one too many: {error}. Export the model again."
        ) from error


def require_intact(manifest: Manifest) -> None:
    """Raise ModelArtifactError unless the ONNX file is there and is the one described."""
    if not manifest.onnx_path.is_file():
        raise ModelArtifactError(f"The model's file {manifest.onnx_path.name!r} is missing.")
    found = hashlib.sha256(manifest.onnx_path.read_bytes()).hexdigest()
    if found != manifest.sha256:
        raise ModelArtifactError(
            f"The model's file {manifest.onnx_path.name!r} has SHA-256 {found[:12]}…; the manifest "
            f"says {manifest.sha256[:12]}…. It is damaged or another model; restore it."
        )
