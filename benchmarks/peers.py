"""Networks that others published for this task or use for it, at their published sizes.

Their weights are random: only their speed is measured. `training.networks` states the
architectures; no code of others is copied.
"""

from dataclasses import dataclass
from typing import Any

SEED = 1


@dataclass(frozen=True)
class Peer:
    """A network with random weights.

    Attributes
    ----------
    architecture : str
        Key of `training.networks.NETWORKS`.
    width : int
        Channels of the first level, as published.
    source : str
        Where the architecture and its size were published.
    """

    architecture: str
    width: int
    source: str

    @property
    def name(self) -> str:
        """Return the label for tables."""
        return f"{self.architecture} {self.width} ({self.source})"

    def build(self) -> Any:
        """Return the torch network; its weights are the same each time."""
        import torch  # noqa: PLC0415 - a heavy import that few engines need

        from training.networks import build_network  # noqa: PLC0415

        torch.manual_seed(SEED)
        return build_network(self.architecture, width=self.width).eval()

    def count(self) -> tuple[int, float]:
        """Return the number of parameters and the GFLOP of one picture of 256x256 pixels."""
        from training.networks.sizes import count_macs, count_parameters  # noqa: PLC0415

        network = self.build()
        return count_parameters(network), 2 * count_macs(network) / 1e9


PEERS = (
    Peer("attention-resunet", 64, "arXiv 2604.18148, for HC18"),
    Peer("unet", 64, "arXiv 1505.04597"),
    Peer("attention-unet", 64, "arXiv 1804.03999"),
    Peer("unet-plus-plus", 32, "arXiv 1807.10165"),
)


def find_peer(text: str) -> Peer:
    """Return the peer that `architecture width` names.

    Raises
    ------
    ValueError
        There is no such peer.
    """
    for peer in PEERS:
        if text == f"{peer.architecture} {peer.width}":
            return peer
    raise ValueError(f"There is no peer {text!r}.")
