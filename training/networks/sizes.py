"""Count a network's parameters and multiply-accumulates.

`python -m training.networks.sizes` prints a table of the Attention-ResUNet's widths.
"""

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.networks.attention_resunet import AttentionResUNet


def count_parameters(network: nn.Module) -> int:
    """Return the number of trained parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module, *, height_px: int = 256, width_px: int = 256) -> int:
    """Return the multiply-accumulates of all convolutions for one image (a MAC is two FLOP).

    They are counted by running the network on a black image. Batch norm, which the export folds
    into convolutions, additions and activations are not counted.
    """
    total = 0

    def count_layer(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        grid = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        total += layer.weight.numel() * grid.shape[-2] * grid.shape[-1]  # type: ignore[operator,union-attr]

    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    hooks = [layer.register_forward_hook(count_layer) for layer in layers]
    was_training = network.training
    with torch.no_grad():
        network.eval()(torch.zeros(1, 1, height_px, width_px))
    network.train(was_training)
    for hook in hooks:
        hook.remove()
    return total


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a Markdown table of sizes."""
    parser = argparse.ArgumentParser(description="Count parameters and MACs of each width.")
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--no-residual", action="store_true", help="plain convolution blocks")
    parser.add_argument("--no-attention", action="store_true", help="skips without attention gates")
    chosen = parser.parse_args(arguments)
    print("| width | parameters | GMAC at 256x256 | GFLOP at 256x256 |\n|---|---|---|---|")
    for width in chosen.widths:
        network = AttentionResUNet(
            width=width, residual=not chosen.no_residual, attention=not chosen.no_attention
        )
        gmac = count_macs(network) / 1e9
        print(f"| {width} | {count_parameters(network):,} | {gmac:.2f} | {2 * gmac:.2f} |")


if __name__ == "__main__":
    main()
