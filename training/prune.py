"""Prune a trained network to a smaller width by removing its least important channels.

`python -m training.prune --checkpoint FILE --width W --out FILE`. The pruned network computes a
different function, which is a good start for training: continue with `python -m training.train
--width W --start-from FILE --teacher FILE`, with the original network as the teacher.

References
----------
Liu et al. 2017, arXiv 1708.06519: the importance of a channel is its batch-norm scale. Channels
that are added to each other are pruned together, by the sum of their scales.
"""

import argparse
import copy
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from training.checkpoint import load_trained, save_weights
from training.networks.attention_resunet import AttentionResUNet, ConvolutionBlock, DecoderLevel


def prune(network: AttentionResUNet, width: int) -> AttentionResUNet:
    """Return a narrower network with the most important channels.

    Parameters
    ----------
    network : AttentionResUNet
        Trained network. It is not changed.
    width : int
        Width of the result; even, because attention gates halve the number of channels.

    Raises
    ------
    ValueError
        The width is odd, or not smaller than the network's.
    """
    if not 0 < width < network.width or width % 2:
        raise ValueError(
            f"Cannot prune width {network.width} to {width}; give a smaller, even width."
        )
    cut = _Cut(width / network.width)
    source = copy.deepcopy(network)
    features, skips = torch.tensor([0]), []
    for block in source.encoder:
        features = cut.cut_block(block, features)
        skips.append(features)
    features = cut.cut_block(source.bottleneck, features)
    for level, skip in zip(source.decoder, reversed(skips), strict=True):
        features = cut.cut_level(level, features, skip)
    _keep(source.head, features, torch.tensor([0]))
    narrow = network.to_untrained(width)
    narrow.load_state_dict(source.state_dict())
    return narrow.train(network.training)


class _Cut:
    """Prunes layers in place, each to the same share of its output channels.

    Parameters
    ----------
    share : float
        Share of the channels that is kept.
    """

    def __init__(self, share: float) -> None:
        self.share = share

    def to_kept(self, importance: Tensor) -> Tensor:
        """Return the indices of the most important channels, in ascending order."""
        count = round(self.share * len(importance))
        return torch.topk(importance, count).indices.sort().values

    def cut_block(self, block: ConvolutionBlock, kept_in: Tensor) -> Tensor:
        """Prune a block with the input channels `kept_in`; return its kept output channels."""
        inner, scales = self.to_kept(_to_scales(block.first)), _to_scales(block.second)
        if block.shortcut is not None:
            scales = scales + _to_scales(block.shortcut)
        kept = self.to_kept(scales)
        _keep_normalised(block.first, kept_in, inner)
        _keep_normalised(block.second, inner, kept)
        if block.shortcut is not None:
            _keep_normalised(block.shortcut, kept_in, kept)
        return kept

    def cut_level(self, level: DecoderLevel, kept_in: Tensor, skip: Tensor) -> Tensor:
        """Prune a decoder level with the input channels `kept_in` and the skip channels `skip`."""
        upsampled = self.to_kept(level.upsample.weight.detach().abs().sum(dim=(0, 2, 3)))
        channels = level.upsample.out_channels
        _keep(level.upsample, kept_in, upsampled)
        if level.gate is not None:
            scales = _to_scales(level.gate.from_gating) + _to_scales(level.gate.from_skip)
            inner = self.to_kept(scales)
            _keep_normalised(level.gate.from_gating, upsampled, inner)
            _keep_normalised(level.gate.from_skip, skip, inner)
            _keep_normalised(level.gate.to_coefficient, inner, torch.tensor([0]))
        return self.cut_block(level.block, torch.cat((skip, channels + upsampled)))


def _to_scales(convolution: nn.Sequential) -> Tensor:
    scales: Tensor = convolution[1].weight.detach().abs()
    return scales


def _keep_normalised(convolution: nn.Sequential, kept_in: Tensor, kept_out: Tensor) -> None:
    _keep(convolution[0], kept_in, kept_out)
    for values in convolution[1].state_dict(keep_vars=True).values():
        if values.ndim:
            values.data = values.data[kept_out]


def _keep(layer: nn.Module, kept_in: Tensor, kept_out: Tensor) -> None:
    is_transposed = isinstance(layer, nn.ConvTranspose2d)  # its kernel is (in, out, h, w)
    rows, columns = (kept_in, kept_out) if is_transposed else (kept_out, kept_in)
    layer.weight.data = layer.weight.data[rows][:, columns]
    if layer.bias is not None:
        layer.bias.data = layer.bias.data[kept_out]


def main(arguments: Sequence[str] | None = None) -> int:
    """Read a checkpoint, prune it and write the narrow one."""
    parser = argparse.ArgumentParser(prog="python -m training.prune", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="weights (safetensors)")
    parser.add_argument(
        "--width", type=int, required=True, help="channels of the first level to keep"
    )
    parser.add_argument("--out", type=Path, required=True, help="file to write (safetensors)")
    chosen = parser.parse_args(arguments)
    narrow = prune(load_trained(chosen.checkpoint), chosen.width)
    save_weights(narrow, chosen.out)
    print(f"{chosen.out.name}: width {narrow.width}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
