"""Registry of network architectures, one module each, built by name and keyword arguments.

A checkpoint stores the name and the arguments (`training.checkpoint`). ResUNet, Attention U-Net and
U-Net are the Attention-ResUNet's code with switches.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from training.networks.attention_resunet import AttentionResUNet
from training.networks.efficientnet_unet import EfficientNetUNet
from training.networks.swin_unet import SwinUNet
from training.networks.unet_plus_plus import UNetPlusPlus

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "attention-resunet": AttentionResUNet,
    "resunet": partial(AttentionResUNet, attention=False),
    "attention-unet": partial(AttentionResUNet, residual=False),
    "unet": partial(AttentionResUNet, residual=False, attention=False),
    "unet-plus-plus": UNetPlusPlus,
    "swin-unet": SwinUNet,
    "efficientnet-unet": EfficientNetUNet,
}
TITLES = {
    "attention-resunet": "Attention-ResUNet",
    "resunet": "ResUNet",
    "attention-unet": "Attention U-Net",
    "unet": "U-Net",
    "unet-plus-plus": "U-Net++",
    "swin-unet": "Swin U-Net",
    "efficientnet-unet": "EfficientNet U-Net",
}
PAPERS = {
    "attention-resunet": "arXiv 2604.18148",
    "resunet": "arXiv 1711.10684",
    "attention-unet": "arXiv 1804.03999",
    "unet": "arXiv 1505.04597",
    "unet-plus-plus": "arXiv 1807.10165",
    "swin-unet": "arXiv 2105.05537",
    "efficientnet-unet": "arXiv 1905.11946",
}
PROTOCOL_VERSION = "comparison-seed-"
"""Beginning of the versions of weights that were trained by the protocol of the comparison."""
COMPARED: dict[str, dict[str, Any]] = {
    "attention-resunet": {"width": 16},
    "resunet": {"width": 16},
    "attention-unet": {"width": 16},
    "unet": {"width": 16},
    "unet-plus-plus": {"width": 16},
    "swin-unet": {"width": 27},
}
"""The compared networks (`docs/comparison.md`) and the arguments that give about 2 M parameters."""


def build_network(name: str, **keywords: Any) -> nn.Module:
    """Return a network with random weights.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`.
    **keywords
        Arguments of the network; all are plain JSON values.

    Raises
    ------
    ValueError
        No network has that name.
    """
    if name not in NETWORKS:
        raise ValueError(f"Unknown network {name!r}. Known networks: {', '.join(NETWORKS)}.")
    return NETWORKS[name](**keywords)
