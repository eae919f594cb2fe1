"""Define the Attention-ResUNet, its half-resolution variant and its ablations.

As in arXiv 2604.18148: residual blocks with `width * (1, 2, 4, 8)` channels, a bottleneck with
`width * 16`, a decoder of transposed convolutions, an additive attention gate on every skip and a
1x1 convolution that gives logits. `python -m training.networks.sizes` counts parameters and MACs.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

LEVELS = 4
PAPER_WIDTH = 64
HALF_TIME: dict[str, Any] = {"channels": (32, 32, 64, 128, 256), "halving_stem": True}
"""Keyword arguments of the half-time network: 1.49 GMAC and 2.10 M parameters."""


def _to_convolution(in_channels: int, out_channels: int, *, kernel: int = 3) -> nn.Sequential:
    """Return a same-size convolution with batch norm, which makes a bias unnecessary."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    )


class ConvolutionBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and ReLU; `residual` adds a shortcut.

    The shortcut is the identity if the numbers of channels are equal, and a 1x1 convolution
    otherwise.
    """

    def __init__(self, in_channels: int, out_channels: int, *, residual: bool) -> None:
        super().__init__()
        self.first = _to_convolution(in_channels, out_channels)
        self.second = _to_convolution(out_channels, out_channels)
        self.shortcut: nn.Module | None = None
        if residual:
            same = in_channels == out_channels
            self.shortcut = (
                nn.Identity() if same else _to_convolution(in_channels, out_channels, kernel=1)
            )

    def forward(self, features: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to (n, out_channels, h, w)."""
        inner = self.second(torch.relu(self.first(features)))
        return torch.relu(inner if self.shortcut is None else inner + self.shortcut(features))


class AttentionGate(nn.Module):
    """Additive attention on a skip connection (Oktay 2018, arXiv 1804.03999).

    Skip and gating signal have the same size, because the decoder's features are upsampled before
    the gate. The intermediate features have half as many channels as the skip.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner_channels = channels // 2
        self.from_gating = _to_convolution(channels, inner_channels, kernel=1)
        self.from_skip = _to_convolution(channels, inner_channels, kernel=1)
        self.to_coefficient = _to_convolution(inner_channels, 1, kernel=1)

    def forward(self, skip: Tensor, gating: Tensor) -> Tensor:
        """Multiply (n, channels, h, w) skip features by one coefficient in [0, 1] per pixel."""
        inner = torch.relu(self.from_gating(gating) + self.from_skip(skip))
        return skip * torch.sigmoid(self.to_coefficient(inner))


class DecoderLevel(nn.Module):
    """Decoder level: upsample, gate the skip, concatenate both and convolve."""

    def __init__(self, in_channels: int, channels: int, *, residual: bool, attention: bool) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(in_channels, channels, 2, stride=2)
        self.gate = AttentionGate(channels) if attention else None
        self.block = ConvolutionBlock(2 * channels, channels, residual=residual)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) features and a (n, c, 2h, 2w) skip to (n, c, 2h, 2w)."""
        upsampled = self.upsample(features)
        if self.gate is not None:
            skip = self.gate(skip, upsampled)
        return self.block(torch.cat((skip, upsampled), dim=1))


class AttentionResUNet(nn.Module):
    """Segmentation network: grey image in, head logits out.

    Parameters
    ----------
    width : int
        Channels of the first level, doubled at each further level; the paper uses 64. Ignored if
        `channels` is given.
    residual, attention : bool
        Both true: Attention-ResUNet. Only `residual`: ResUNet. Only `attention`: Attention U-Net.
        Both false: U-Net.
    channels : sequence of int, optional
        Channels of the four levels and of the bottleneck.
    halving_stem : bool
        Start with a 4x4 convolution of stride 2 and end with a sub-pixel convolution, so that all
        levels work at half the resolution.
    head_plane : bool
        Add a second output, from the means of the bottleneck: the logit of a head plane.

    References
    ----------
    Sub-pixel convolution: Shi et al. 2016, arXiv 1609.05158.
    """

    paper_levels = tuple(PAPER_WIDTH * 2**level for level in reversed(range(LEVELS)))
    """Channels of the decoder's levels in the paper, deepest first; they name the levels."""

    def __init__(
        self,
        *,
        width: int = PAPER_WIDTH,
        residual: bool = True,
        attention: bool = True,
        channels: Sequence[int] | None = None,
        halving_stem: bool = False,
        head_plane: bool = False,
    ) -> None:
        super().__init__()
        if channels is None:
            channels = [width * 2**level for level in range(LEVELS + 1)]
        if len(channels) != LEVELS + 1:
            raise ValueError(
                f"{len(channels)} channel counts; give {LEVELS + 1}: four levels, the bottleneck."
            )
        *levels, bottom = channels
        self.width = levels[0]
        self.stem = _to_halving_stem(levels[0]) if halving_stem else None
        first = levels[0] if halving_stem else 1
        self.encoder = nn.ModuleList(
            ConvolutionBlock(before, after, residual=residual)
            for before, after in zip([first, *levels], levels, strict=False)
        )
        self.bottleneck = ConvolutionBlock(levels[-1], bottom, residual=residual)
        self.decoder = nn.ModuleList(
            DecoderLevel(below, each, residual=residual, attention=attention)
            for below, each in zip(reversed(channels), reversed(levels), strict=False)
        )
        self.head: nn.Module = nn.Conv2d(levels[0], 1, 1)
        if halving_stem:
            self.head = nn.Sequential(nn.Conv2d(levels[0], 4, 1), nn.PixelShuffle(2))
        self.plane_head = nn.Linear(bottom, 1) if head_plane else None

    def to_untrained(self, width: int) -> "AttentionResUNet":
        """Return an untrained network with another width and the same options."""
        return AttentionResUNet(
            width=width,
            residual=self.bottleneck.shortcut is not None,
            attention=self.decoder[0].gate is not None,
        )

    def encode(self, network_input: Tensor) -> tuple[list[Tensor], Tensor]:
        """Map (n, 1, h, w) normalised grey values to the encoder's levels and the bottleneck.

        Returns
        -------
        levels : list of (n, channels, rows, columns)
            Finest first; each has half the rows and columns of the one before.
        bottom : (n, channels, rows, columns)
        """
        features, levels = network_input, []
        if self.stem is not None:
            features = self.stem(features)
        for level in self.encoder:
            features = level(features)
            levels.append(features)
            features = torch.max_pool2d(features, 2)
        return levels, self.bottleneck(features)

    def forward(self, network_input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Map (n, 1, h, w) normalised grey values to (n, 1, h, w) logits.

        With `head_plane` the second output is the (n, 1) logits of a head plane. h and w must be
        multiples of 16, or of 32 with the halving stem.
        """
        skips, bottom = self.encode(network_input)
        features = bottom
        for level, skip in zip(self.decoder, reversed(skips), strict=True):
            features = level(features, skip)
        logits: Tensor = self.head(features)
        if self.plane_head is None:
            return logits
        return logits, self.plane_head(bottom.mean(dim=(2, 3)))


def _to_halving_stem(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, channels, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )
