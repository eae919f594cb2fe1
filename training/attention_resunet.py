"""The architecture: Attention-ResUNet and the three networks it is compared with.

After arXiv 2604.18148: residual blocks at `width * (1, 2, 4, 8)` channels, a bottleneck at
`width * 16`, a decoder of transposed convolutions, an additive attention gate on every skip and a
1x1 head that gives logits. `python -m training.attention_resunet` counts parameters and MACs.
"""

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor, nn

LEVELS = 4
PAPER_WIDTH = 64


def _to_convolution(in_channels: int, out_channels: int, *, kernel: int = 3) -> nn.Sequential:
    """Return a same-size convolution with batch norm (which makes a bias needless)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    )


class ConvolutionBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and ReLU; `residual` adds the block's input to them.

    The shortcut is the identity where the channels agree and a 1x1 convolution elsewhere.
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

    Skip and gating signal have the same size here, since the decoder's features are upsampled
    before they gate; half of the skip's channels lie between.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner_channels = channels // 2
        self.from_gating = _to_convolution(channels, inner_channels, kernel=1)
        self.from_skip = _to_convolution(channels, inner_channels, kernel=1)
        self.to_coefficient = _to_convolution(inner_channels, 1, kernel=1)

    def forward(self, skip: Tensor, gating: Tensor) -> Tensor:
        """Weigh (n, channels, h, w) skip features by coefficients in [0, 1], one for each pixel."""
        inner = torch.relu(self.from_gating(gating) + self.from_skip(skip))
        return skip * torch.sigmoid(self.to_coefficient(inner))


class DecoderLevel(nn.Module):
    """Double the size, gate the skip, join the two, convolve."""

    def __init__(self, channels: int, *, residual: bool, attention: bool) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(2 * channels, channels, 2, stride=2)
        self.gate = AttentionGate(channels) if attention else None
        self.block = ConvolutionBlock(2 * channels, channels, residual=residual)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Map (n, 2c, h, w) features and a (n, c, 2h, 2w) skip to (n, c, 2h, 2w)."""
        upsampled = self.upsample(features)
        if self.gate is not None:
            skip = self.gate(skip, upsampled)
        return self.block(torch.cat((skip, upsampled), dim=1))


class AttentionResUNet(nn.Module):
    """Segmentation network: grey image in, head logits out.

    Parameters
    ----------
    width : int
        Channels of the first level; 64 is the paper's.
    residual, attention : bool
        Both: Attention-ResUNet. Without attention: ResUNet. Without residual: Attention U-Net.
        Without either: U-Net.
    """

    def __init__(self, *, width: int = PAPER_WIDTH, residual: bool = True, attention: bool = True):
        super().__init__()
        channels = [width * 2**level for level in range(LEVELS)]
        self.width = width
        self.encoder = nn.ModuleList(
            ConvolutionBlock(before, after, residual=residual)
            for before, after in zip([1, *channels], channels, strict=False)
        )
        self.bottleneck = ConvolutionBlock(channels[-1], 2 * channels[-1], residual=residual)
        self.decoder = nn.ModuleList(
            DecoderLevel(each, residual=residual, attention=attention)
            for each in reversed(channels)
        )
        self.head = nn.Conv2d(width, 1, 1)

    def to_untrained(self, width: int) -> "AttentionResUNet":
        """Return a fresh network of another width and the same switches."""
        return AttentionResUNet(
            width=width,
            residual=self.bottleneck.shortcut is not None,
            attention=self.decoder[0].gate is not None,
        )

    def forward(self, network_input: Tensor) -> Tensor:
        """Map (n, 1, h, w) normalised grey values to (n, 1, h, w) logits; h and w divide by 16."""
        features, skips = network_input, []
        for level in self.encoder:
            features = level(features)
            skips.append(features)
            features = torch.max_pool2d(features, 2)
        features = self.bottleneck(features)
        for level, skip in zip(self.decoder, reversed(skips), strict=True):
            features = level(features, skip)
        logits: Tensor = self.head(features)
        return logits


def count_parameters(network: nn.Module) -> int:
    """Return the number of trained parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module, *, height_px: int = 256, width_px: int = 256) -> int:
    """Return the multiply-accumulates of all convolutions for one image (a MAC is two FLOP).

    They are counted by running the network on an empty image; batch norm, which the export folds
    away, additions and activations are not counted.
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
    parser.add_argument("--no-attention", action="store_true", help="ungated skips")
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
