"""The registry of networks: one file each, built by name and keyword arguments.

Both are stored in a checkpoint (`training.checkpoint`), so that a file tells what it holds.
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
        The network's own arguments; all are plain JSON values.

    Raises
    ------
    ValueError
        No network has that name.
    """
    if name not in NETWORKS:
        raise ValueError(f"No network is called {name!r}; name one of: {', '.join(NETWORKS)}.")
    return NETWORKS[name](**keywords)
