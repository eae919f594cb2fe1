"""A trained narrow network to a wide one that computes the same function.

`python -m training.widen --checkpoint FILE --factor K --out FILE`. Every channel is copied K times
and the weights that read it are divided by K, so that the wide network starts where the narrow
one ended. Exact copies would get equal gradients and stay copies for ever; noise that sums to zero
over the copies of each input sets them apart and leaves the function alone. This module does not
train: go on with `python -m training.train --width W --start-from FILE`.

References
----------
Chen, Goodfellow, Shlens 2016, Net2Net, arXiv 1511.05641: the copies, the division, and the need
for noise (theirs does not sum to zero and moves the function).
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from training.checkpoint import load_trained, save_weights
from training.networks.attention_resunet import AttentionResUNet

NOISE_SHARE = 0.5
"""Mean absolute noise over mean absolute weight of the widened layer."""


def widen(
    network: AttentionResUNet, factor: int, *, noise_share: float = NOISE_SHARE, seed: int = 0
) -> AttentionResUNet:
    """Return a network of `factor` times the width and the same logits.

    A channel's copies lie side by side, in every layer. So `cat(skip, up)` needs no care: copies
    of the joined channels are the joined copies.

    Parameters
    ----------
    network : AttentionResUNet
        Trained; of even width, since its gates halve the channels. It is not changed.
    factor : int
        Copies of each channel, at least 2.
    noise_share : float
        Mean absolute noise over mean absolute weight; 0 leaves exact copies.
    seed : int
        Of the noise.

    Raises
    ------
    ValueError
        The factor is below 2 or the width is odd.
    """
    if factor < 2 or network.width % 2:
        raise ValueError(
            f"Cannot widen width {network.width} by {factor}; the factor must be a whole number "
            "from 2 on, the width even."
        )
    with torch.device("meta"):  # no time for random weights: every tensor is filled below
        wide = network.to_untrained(factor * network.width)
    wide = wide.to(network.head.weight.dtype).to_empty(device="cpu")
    _fill_layers(wide, network, noise_share, torch.Generator().manual_seed(seed))
    return wide.train(network.training)


def to_wide_kernel(
    kernel: Tensor, in_factor: int, out_factor: int, noise_share: float, generator: torch.Generator
) -> Tensor:
    """Copy a kernel's outputs and inputs, share its weights among the inputs, add noise.

    Parameters
    ----------
    kernel : (out, in, h, w)
    in_factor, out_factor : int
        Copies of each input and output channel; 1 for the picture, the coefficients of a gate and
        the logits, of which a wide network has no more than a narrow one.
    noise_share : float
        See `widen`.
    generator : torch.Generator
        Draws the noise.

    Returns
    -------
    (out_factor * out, in_factor * in, h, w)
        Summed over the copies of an input it is `kernel` again, for each copy of an output.
    """
    copied = kernel.repeat_interleave(out_factor, 0).repeat_interleave(in_factor, 1) / in_factor
    if in_factor == 1 or noise_share == 0:
        return copied
    rows = (copied.shape[0], kernel.shape[1], in_factor, *kernel.shape[2:])
    noise = torch.randn(rows, generator=generator, dtype=kernel.dtype)
    noise -= noise.mean(dim=2, keepdim=True)
    # |n| of a normal number is sqrt(2 / pi) of its deviation, which taking the mean off has
    # lessened by sqrt(1 - 1 / copies).
    mean_of_noise = math.sqrt(2 / math.pi * (1 - 1 / in_factor))
    return copied + noise.flatten(1, 2) * (noise_share * copied.abs().mean() / mean_of_noise)


@torch.no_grad()
def _fill_layers(
    wide: nn.Module, network: nn.Module, noise_share: float, generator: torch.Generator
) -> None:
    narrow_layers = dict(network.named_modules())
    for name, layer in wide.named_modules():
        if isinstance(layer, nn.BatchNorm2d):
            _fill_batch_norm(layer, narrow_layers[name])
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            _fill_convolution(layer, narrow_layers[name], noise_share, generator)


def _fill_convolution(
    layer: nn.Module, narrow: nn.Module, noise_share: float, generator: torch.Generator
) -> None:
    is_transposed = isinstance(layer, nn.ConvTranspose2d)  # its kernel is (in, out, h, w)
    kernel = narrow.weight.transpose(0, 1) if is_transposed else narrow.weight
    in_factor = layer.in_channels // narrow.in_channels
    out_factor = layer.out_channels // narrow.out_channels
    wide_kernel = to_wide_kernel(kernel, in_factor, out_factor, noise_share, generator)
    layer.weight.copy_(wide_kernel.transpose(0, 1) if is_transposed else wide_kernel)
    if layer.bias is not None:
        layer.bias.copy_(narrow.bias.repeat_interleave(out_factor))


def _fill_batch_norm(layer: nn.BatchNorm2d, narrow: nn.Module) -> None:
    factor = layer.num_features // narrow.num_features
    for name, values in narrow.state_dict().items():  # affine weights and running statistics
        wide_values = values.repeat_interleave(factor) if values.ndim else values
        getattr(layer, name).copy_(wide_values)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read a checkpoint, widen it, write the wide one."""
    parser = argparse.ArgumentParser(prog="python -m training.widen", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="weights (safetensors)")
    parser.add_argument("--factor", type=int, required=True, help="copies of each channel")
    parser.add_argument("--out", type=Path, required=True, help="file to write (safetensors)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    chosen = parser.parse_args(arguments)
    wide = widen(load_trained(chosen.checkpoint), chosen.factor, seed=chosen.seed)
    save_weights(wide, chosen.out)
    print(f"{chosen.out.name}: width {wide.width}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
