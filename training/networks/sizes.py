"""Count a network's parameters and multiply-accumulates.

`python -m training.networks.sizes` prints a table of the Attention-ResUNet's widths, and
`python -m training.networks.sizes --compared` one of the compared networks (`docs/comparison.md`).
"""

import argparse
from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from training.networks import COMPARED, TITLES, build_network
from training.networks.attention_resunet import AttentionResUNet

SIZES_TITLE = "parameters | GMAC at 256x256 | GFLOP at 256x256 |\n|---|---|---|---|"


def count_parameters(network: nn.Module) -> int:
    """Return the number of trained parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module, *, height_px: int = 256, width_px: int = 256) -> int:
    """Return the multiply-accumulates of one image (a MAC is two FLOP).

    torch's own counter counts convolutions and matrix products while the network runs on a black
    image. Normalisation, additions and activations are not counted.
    """
    was_training = network.training
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, 1, height_px, width_px))
    network.train(was_training)
    return counter.get_total_flops() // 2


def to_row(name: str, network: nn.Module) -> str:
    """Return a network's row of the Markdown table."""
    gmac = count_macs(network) / 1e9
    return f"| {name} | {count_parameters(network):,} | {gmac:.2f} | {2 * gmac:.2f} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a Markdown table of sizes."""
    parser = argparse.ArgumentParser(description="Count parameters and MACs of each width.")
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--no-residual", action="store_true", help="plain convolution blocks")
    parser.add_argument("--no-attention", action="store_true", help="skips without attention gates")
    parser.add_argument("--compared", action="store_true", help="the compared networks instead")
    chosen = parser.parse_args(arguments)
    if chosen.compared:
        print(f"| network | {SIZES_TITLE}")
        for name, keywords in COMPARED.items():
            print(to_row(TITLES[name], build_network(name, **keywords)))
        return
    print(f"| width | {SIZES_TITLE}")
    for width in chosen.widths:
        network = AttentionResUNet(
            width=width, residual=not chosen.no_residual, attention=not chosen.no_attention
        )
        print(to_row(str(width), network))


if __name__ == "__main__":
    main()
