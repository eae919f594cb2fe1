"""Convert a trained network to a wider one that computes the same function.

`python -m training.widen --checkpoint FILE --factor K --out FILE`. Every channel is copied K times,
and the weights that read it are divided by K. Exact copies would get equal gradients and stay
equal. Noise that sums to zero over the copies of each input makes them different without changing
the function. Continue with `python -m training.train --width W --start-from FILE`.

References
----------
Chen, Goodfellow, Shlens 2016, Net2Net, arXiv 1511.05641: copies, division and noise. Their noise
does not sum to zero and changes the function.
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

    The copies of a channel are adjacent in every layer, so concatenating skip and upsampled
    channels needs no special handling.

    Parameters
    ----------
    network : AttentionResUNet
        Trained network of even width, because attention gates halve the channels. It is not
        changed.
    factor : int
        Copies of each channel, at least 2.
    noise_share : float
        Mean absolute noise over mean absolute weight; 0 leaves exact copies.
    seed : int
        Seed of the noise.

    Raises
    ------
    ValueError
        The factor is below 2 or the width is odd.
    """
    if factor < 2 or network.width % 2:
        raise ValueError(
            f"Cannot widen width {network.width} by {factor}. The factor must be at least 2, and "
            "the width must be even."
        )
    with torch.device("meta"):  # skip random initialisation: every tensor is filled below
        wide = network.to_untrained(factor * network.width)
    wide = wide.to(network.head.weight.dtype).to_empty(device="cpu")
    _fill_layers(wide, network, noise_share, torch.Generator().manual_seed(seed))
    return wide.train(network.training)


def to_wide_kernel(
    kernel: Tensor, in_factor: int, out_factor: int, noise_share: float, generator: torch.Generator
) -> Tensor:
    """Copy a kernel's outputs and inputs, divide its weights among the inputs and add noise.

    Parameters
    ----------
    kernel : (out, in, h, w)
    in_factor, out_factor : int
        Copies of each input and output channel. It is 1 for the picture, the coefficients of a
        gate and the logits, which have one channel at every width.
    noise_share : float
        See `widen`.
    generator : torch.Generator
        Generates the noise.

    Returns
    -------
    (out_factor * out, in_factor * in, h, w)
        For each copy of an output, the sum over the copies of an input is `kernel`.
    """
    copied = kernel.repeat_interleave(out_factor, 0).repeat_interleave(in_factor, 1) / in_factor
    if in_factor == 1 or noise_share == 0:
        return copied
    rows = (copied.shape[0], kernel.shape[1], in_factor, *kernel.shape[2:])
    noise = torch.randn(rows, generator=generator, dtype=kernel.dtype)
    noise -= noise.mean(dim=2, keepdim=True)
    # The mean of |n| is sqrt(2 / pi) times the standard deviation of a normal n. Subtracting the
    # mean over the copies reduced the standard deviation by sqrt(1 - 1 / copies).
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
    """Read a checkpoint, widen it and write the wide one."""
    parser = argparse.ArgumentParser(prog="python -m training.widen", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="weights (safetensors)")
    parser.add_argument("--factor", type=int, required=True, help="copies of each channel")
    parser.add_argument("--out", type=Path, required=True, help="file to write (safetensors)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise")
    chosen = parser.parse_args(arguments)
    wide = widen(load_trained(chosen.checkpoint), chosen.factor, seed=chosen.seed)
    save_weights(wide, chosen.out)
    print(f"{chosen.out.name}: width {wide.width}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
