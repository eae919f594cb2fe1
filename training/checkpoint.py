"""Weights on disk: a safetensors file to the network it belongs to, and back.

The file names no architecture, so its shapes and names must tell it. This module does not train.
"""

import hashlib
import json
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import nn

from headcirc.errors import ModelArtifactError
from headcirc.model.manifest import MANIFEST_NAME
from training.attention_resunet import AttentionResUNet

CHECKPOINT_NAME = "checkpoint.safetensors"
MODELS_DIR = Path(__file__).parent.parent / "models"
"""Each of its folders holds a model's card, checkpoint and training records."""


def load_trained(path: Path) -> AttentionResUNet:
    """Return the network that a file's weights belong to, in evaluation mode and float32.

    Width, residual blocks and attention gates are read from the weights' shapes and names; half
    precision is widened to float32.

    Raises
    ------
    ValueError
        The file holds other weights than an Attention-ResUNet's.
    """
    weights = load_file(path)
    if "head.weight" not in weights:
        raise ValueError(
            f"{path.name!r} has no 'head.weight'; name a file that training.train has written."
        )
    network = AttentionResUNet(
        width=weights["head.weight"].shape[1],
        residual=any(".shortcut." in name for name in weights),
        attention=any(".gate." in name for name in weights),
    )
    network.load_state_dict(weights)  # copies, and so casts to the network's float32
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


def save_weights(network: nn.Module, path: Path, *, is_half: bool = False) -> None:
    """Write a network's weights as safetensors, which wants them in plain memory order.

    Parameters
    ----------
    network : nn.Module
    path : Path
    is_half : bool
        Write kernels in half precision. Biases and batch norm's numbers stay as they are: they are
        few, and a variance can lie outside of half's range.
    """
    weights = {name: each.contiguous() for name, each in network.state_dict().items()}
    if is_half:
        weights = {name: each.half() if each.ndim > 1 else each for name, each in weights.items()}
    save_file(weights, path)


def to_file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
