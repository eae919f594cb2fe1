"""Registry of network architectures, one module each, built by name and keyword arguments.

A checkpoint stores the name and the arguments (`training.checkpoint`).
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from training.networks.attention_resunet import AttentionResUNet
from training.networks.efficientnet_unet import EfficientNetUNet

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "attention-resunet": AttentionResUNet,
    "efficientnet-unet": EfficientNetUNet,
}


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
