"""Save a network's weights as a safetensors file, and load the network from such a file.

The file's metadata contain the network's name, its arguments, and the data that it was trained on.
Older files have no metadata: their Attention-ResUNet is recognised by names and shapes.
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
"""Each subfolder contains a model's card, checkpoint and training records."""


@dataclass(frozen=True)
class NetworkRecord:
    """A checkpoint's record of its network.

    Attributes
    ----------
    name : str
        Name in the registry, `training.networks`.
    keywords : dict
        Arguments of the network, plain JSON values.
    seen : Seen or None
        Images that the weights depend on; None if the file does not say.
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
    """Read a file's record, or derive it from the names and shapes of the weights.

    Raises
    ------
    ValueError
        The file has no record, and its weights are not those of an Attention-ResUNet.
    """
    with safe_open(path, "pt") as weights:
        metadata = weights.metadata() or {}
        names = list(weights.keys())
        if RECORD_KEY not in metadata:
            if "head.weight" not in names:
                raise ValueError(
                    f"{path.name!r} has no 'head.weight' and no record of its network. Use a file "
                    "written by training.train or training.train_fold."
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
    """Build a file's network and load its weights, in evaluation mode and float32.

    Weights in half precision are converted to float32.

    Raises
    ------
    ValueError
        The file has no record, and its weights are not those of an Attention-ResUNet.
    """
    network = load_record(path).build()
    network.load_state_dict(load_file(path))  # copies, and so casts to the network's float32
    return network.eval()


def find_checkpoint(model_dir: Path) -> Path:
    """Return the path of the checkpoint that a model's graphs were exported from.

    The checkpoint is identified by its SHA-256. It lies beside the manifest, or in a folder below
    `models/`, as that of the shipped model does.

    Raises
    ------
    ModelArtifactError
        No checkpoint there has the SHA-256 of the manifest.
    """
    manifest = json.loads((model_dir / MANIFEST_NAME).read_text())
    sha256 = manifest["checkpoint"]["sha256"]
    beside = model_dir / manifest["checkpoint"]["file"]
    for path in (beside, *sorted(MODELS_DIR.rglob(CHECKPOINT_NAME))):
        if path.is_file() and to_file_sha256(path) == sha256:
            return path
    raise ModelArtifactError(
        f"There is no checkpoint of {manifest['name']} {manifest['version']} (sha256 "
        f"{sha256[:12]}) beside its manifest or in models/. Restore it from the repository."
    )


def save_weights(
    network: nn.Module,
    path: Path,
    *,
    is_half: bool = False,
    record: NetworkRecord | None = None,
) -> None:
    """Write a network's weights as a safetensors file.

    Parameters
    ----------
    network : nn.Module
    path : Path
    is_half : bool
        Write kernels in half precision. Biases and batch-norm statistics are not converted: they
        are few, and a variance can lie outside the range of half precision.
    record : NetworkRecord, optional
        Stored as metadata. Required to load any network other than a plain Attention-ResUNet.
    """
    # safetensors requires contiguous tensors.
    weights = {name: each.contiguous() for name, each in network.state_dict().items()}
    if is_half:
        weights = {name: each.half() if each.ndim > 1 else each for name, each in weights.items()}
    save_file(weights, path, record and record.to_metadata())


def to_file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
