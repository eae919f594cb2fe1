"""Weights on disk: a safetensors file to the network it belongs to, and back.

A file's metadata names network and arguments, and what the network has seen. Older files name
nothing: their Attention-ResUNet is told by shapes and names. This module does not train.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from headcirc.errors import ModelArtifactError
from headcirc.model.manifest import MANIFEST_NAME
from training.lineage import Seen
from training.networks import build_network

RECORD_KEY = "headcirc"
CHECKPOINT_NAME = "checkpoint.safetensors"
MODELS_DIR = Path(__file__).parent.parent / "models"
"""Each of its folders holds a model's card, checkpoint and training records."""


@dataclass(frozen=True)
class NetworkRecord:
    """What a checkpoint says of its network.

    Attributes
    ----------
    name : str
        In the registry, `training.networks`.
    keywords : dict
        The network's arguments, plain JSON values.
    seen : Seen or None
        Images that its weights depend on; None where nobody wrote it down.
    """

    name: str
    keywords: dict[str, Any]
    seen: Seen | None = None

    def build(self) -> nn.Module:
        """Return a network of this kind with random weights."""
        return build_network(self.name, **self.keywords)

    def to_metadata(self) -> dict[str, str]:
        """Return the record as safetensors metadata."""
        return {RECORD_KEY: json.dumps(asdict(self))}


def load_record(path: Path) -> NetworkRecord:
    """Return what a file says of its network, or what its shapes and names say.

    Raises
    ------
    ValueError
        The file holds no record, and other weights than an Attention-ResUNet's.
    """
    with safe_open(path, "pt") as weights:
        metadata = weights.metadata() or {}
        names = list(weights.keys())
        if RECORD_KEY not in metadata:
            if "head.weight" not in names:
                raise ValueError(
                    f"{path.name!r} has no 'head.weight' and names no network; give a file that "
                    "training.train or training.train_fold has written."
                )
            width = weights.get_slice("head.weight").get_shape()[1]
            switches = {
                "residual": any(".shortcut." in name for name in names),
                "attention": any(".gate." in name for name in names),
            }
            return NetworkRecord("attention-resunet", {"width": width, **switches})
    record = json.loads(metadata[RECORD_KEY])
    seen = record["seen"] and Seen.from_json(record["seen"])
    return NetworkRecord(record["name"], record["keywords"], seen)


def load_trained(path: Path) -> Any:
    """Return the network that a file's weights belong to, in evaluation mode and float32.

    Half precision is widened to float32.

    Raises
    ------
    ValueError
        The file holds no record, and other weights than an Attention-ResUNet's.
    """
    network = load_record(path).build()
    network.load_state_dict(load_file(path))  # copies, and so casts to the network's float32
    return network.eval()


def find_checkpoint(model_dir: Path) -> Path:
    """Return the checkpoint that a model's graphs were made from, known by its SHA-256.

    It lies beside the manifest, or, as that of the shipped model, in a folder of `models/`.

    Raises
    ------
    ModelArtifactError
        No checkpoint there has the SHA-256 that the manifest states.
    """
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    sha256 = manifest["checkpoint"]["sha256"]
    beside = model_dir / manifest["checkpoint"]["file"]
    for path in (beside, *sorted(MODELS_DIR.glob(f"*/{CHECKPOINT_NAME}"))):
        if path.is_file() and to_file_sha256(path) == sha256:
            return path
    raise ModelArtifactError(
        f"No checkpoint of {manifest['name']} {manifest['version']} (sha256 {sha256[:12]}) lies "
        f"beside its manifest or in models/; restore it from the repository."
    )


def save_weights(
    network: nn.Module,
    path: Path,
    *,
    is_half: bool = False,
    record: NetworkRecord | None = None,
) -> None:
    """Write a network's weights as safetensors, which wants them in plain memory order.

    Parameters
    ----------
    network : nn.Module
    path : Path
    is_half : bool
        Write kernels in half precision. Biases and batch norm's numbers stay as they are: they are
        few, and a variance can lie outside of half's range.
    record : NetworkRecord, optional
        What the file says of the network; required to load what is no plain Attention-ResUNet.
    """
    weights = {name: each.contiguous() for name, each in network.state_dict().items()}
    if is_half:
        weights = {name: each.half() if each.ndim > 1 else each for name, each in weights.items()}
    save_file(weights, path, record and record.to_metadata())


def to_file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
