"""Define the Swin U-Net: an encoder and a decoder of shifted-window attention, with plain skips.

Written after the two papers. Three choices differ from the Swin-Unet's published code:

- The skips are the outputs of the encoder's blocks, as in the paper's figure. The code takes their
  inputs.
- There is no stochastic depth, so that all compared networks are regularised alike.
- Nothing is pretrained.

References
----------
Cao et al. 2021, Swin-Unet, arXiv 2105.05537. Liu et al. 2021, Swin Transformer, arXiv 2103.14030.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

PAPER_WIDTH = 96
LEVELS = 4
"""Three levels with skips, and the bottleneck."""
DEPTH = 2
"""Blocks of a level: one with plain windows, one with shifted windows."""
PATCH_PX = 4
FIRST_HEADS = 3
"""Attention heads of the first level, doubled at each further level."""
MLP_RATIO = 4
FORBIDDEN = -100.0
"""Added to the score of two tokens that are not neighbours in the picture."""
INITIAL_DEVIATION = 0.02


def to_windows(tokens: Tensor, window: int) -> Tensor:
    """Cut (n, rows, columns, c) tokens into windows, (n, windows, window * window, c)."""
    _, rows, columns, channels = tokens.shape
    down, across = rows // window, columns // window
    cut = tokens.reshape(-1, down, window, across, window, channels)
    return cut.permute(0, 1, 3, 2, 4, 5).reshape(-1, down * across, window**2, channels)


def from_windows(windows: Tensor, window: int, side: int) -> Tensor:
    """Put windows together again: (n, windows, window * window, c) to (n, side, side, c)."""
    channels, across = windows.shape[-1], side // window
    cut = windows.reshape(-1, across, across, window, window, channels)
    return cut.permute(0, 1, 3, 2, 4, 5).reshape(-1, side, side, channels)


def to_relative_positions(window: int) -> Tensor:
    """Return the row of the table of position biases for each pair of a window's tokens.

    Returns
    -------
    (window ** 2, window ** 2) int64
        Equal for pairs with equal offsets; in [0, (2 * window - 1) ** 2).
    """
    places = torch.cartesian_prod(torch.arange(window), torch.arange(window))
    offsets = places[:, None] - places[None] + window - 1
    return offsets[..., 0] * (2 * window - 1) + offsets[..., 1]


def to_shift_mask(side: int, window: int, shift: int) -> Tensor:
    """Return the scores that separate tokens which only the cyclic shift made neighbours.

    Returns
    -------
    (windows, 1, window ** 2, window ** 2) float32
        0 for two tokens of the same part of the picture, otherwise `FORBIDDEN`.
    """
    part = torch.zeros(side, dtype=torch.int64)
    part[side - window : side - shift] = 1
    part[side - shift :] = 2
    parts = (3 * part[:, None] + part[None])[None, :, :, None]
    cut = to_windows(parts, window)[0, :, :, 0]
    return FORBIDDEN * (cut[:, :, None] != cut[:, None, :]).float()[:, None]


class WindowAttention(nn.Module):
    """Self-attention inside windows, which can be shifted, with a bias for each relative position.

    Parameters
    ----------
    channels, heads : int
    side : int
        Rows and columns of the tokens.
    window : int
        Rows and columns of a window; it must divide `side`.
    shift : int
        Rows and columns by which the windows are shifted, with the picture's edges wrapped.
    """

    def __init__(self, channels: int, heads: int, side: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.side, self.window, self.shift = heads, side, window, shift
        self.scale = (channels // heads) ** -0.5
        self.to_query_key_value = nn.Linear(channels, 3 * channels)
        self.projection = nn.Linear(channels, channels)
        self.position_biases = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.position_biases, std=INITIAL_DEVIATION)
        positions = to_relative_positions(window)
        self.register_buffer("positions", positions.flatten(), persistent=False)
        mask = to_shift_mask(side, window, shift) if shift else torch.zeros(1)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (n, side, side, c) tokens to tokens of the same shape."""
        if self.shift:
            tokens = torch.roll(tokens, (-self.shift, -self.shift), (1, 2))
        size, channels = self.window**2, tokens.shape[-1]
        windows = to_windows(tokens, self.window)
        split = self.to_query_key_value(windows).reshape(
            -1, windows.shape[1], size, 3, self.heads, channels // self.heads
        )
        query, key, value = split.permute(3, 0, 1, 4, 2, 5).unbind(0)
        bias = self.position_biases[self.positions].reshape(size, size, self.heads)
        scores = (query * self.scale) @ key.transpose(-2, -1) + bias.permute(2, 0, 1)
        if self.shift:
            scores = scores + self.mask
        mixed = (torch.softmax(scores, dim=-1) @ value).transpose(2, 3)
        windows = self.projection(mixed.reshape(-1, mixed.shape[1], size, channels))
        tokens = from_windows(windows, self.window, self.side)
        return torch.roll(tokens, (self.shift, self.shift), (1, 2)) if self.shift else tokens


class SwinBlock(nn.Module):
    """Window attention and a perceptron with one hidden layer, each after a norm and added."""

    def __init__(self, channels: int, heads: int, side: int, window: int, shift: int) -> None:
        super().__init__()
        self.first_norm = nn.LayerNorm(channels)
        self.attention = WindowAttention(channels, heads, side, window, shift)
        self.second_norm = nn.LayerNorm(channels)
        self.perceptron = nn.Sequential(
            nn.Linear(channels, MLP_RATIO * channels),
            nn.GELU(),
            nn.Linear(MLP_RATIO * channels, channels),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (n, side, side, c) tokens to tokens of the same shape."""
        tokens = tokens + self.attention(self.first_norm(tokens))
        added: Tensor = tokens + self.perceptron(self.second_norm(tokens))
        return added


class SwinLevel(nn.Module):
    """Blocks of one level; every second one has windows shifted by half their side.

    Where one window covers the whole level, nothing is shifted.
    """

    def __init__(self, channels: int, heads: int, side: int, window: int, *, norm: bool) -> None:
        super().__init__()
        shift = 0 if side == window else window // 2
        self.blocks = nn.Sequential(
            *(SwinBlock(channels, heads, side, window, shift * (i % 2)) for i in range(DEPTH))
        )
        self.norm = nn.LayerNorm(channels) if norm else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Map (n, c, side, side) features to features of the same shape."""
        tokens: Tensor = self.norm(self.blocks(features.permute(0, 2, 3, 1)))
        return tokens.permute(0, 3, 1, 2)


class PatchMerging(nn.Module):
    """Join 2x2 tokens into one with twice the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map (n, c, 2h, 2w) to (n, 2c, h, w)."""
        tokens = functional.pixel_unshuffle(features, 2).permute(0, 2, 3, 1)
        merged: Tensor = self.reduction(self.norm(tokens))
        return merged.permute(0, 3, 1, 2)


class PatchExpansion(nn.Module):
    """Split each token into `factor` x `factor` tokens of `channels_out` channels."""

    def __init__(self, channels: int, channels_out: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.expansion = nn.Linear(channels, factor**2 * channels_out, bias=False)
        self.norm = nn.LayerNorm(channels_out)

    def forward(self, features: Tensor) -> Tensor:
        """Map (n, channels, h, w) to (n, channels_out, factor * h, factor * w)."""
        expanded = self.expansion(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        tokens = functional.pixel_shuffle(expanded, self.factor).permute(0, 2, 3, 1)
        normed: Tensor = self.norm(tokens)
        return normed.permute(0, 3, 1, 2)


class SwinDecoderLevel(nn.Module):
    """Decoder level: expand, join with the skip, reduce the channels, and attend."""

    def __init__(
        self, channels: int, heads: int, side: int, window: int, *, norm: bool = False
    ) -> None:
        super().__init__()
        self.expand = PatchExpansion(2 * channels, channels, 2)
        self.join = nn.Linear(2 * channels, channels)
        self.level = SwinLevel(channels, heads, side, window, norm=norm)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Map (n, 2c, h, w) features and a (n, c, 2h, 2w) skip to (n, c, 2h, 2w)."""
        joined = torch.cat((self.expand(features), skip), dim=1).permute(0, 2, 3, 1)
        level: Tensor = self.level(self.join(joined).permute(0, 3, 1, 2))
        return level


class SwinUNet(nn.Module):
    """Segmentation network: grey image in, head logits out.

    Parameters
    ----------
    width : int
        Channels of the first level, a multiple of 3 (its attention heads); the paper uses 96.
    window : int
        Rows and columns of a window; the paper uses 7.
    grid_px : int
        Rows and columns of the input. It must be a multiple of 32 * `window`, so that the windows
        divide every level; the paper uses 224.
    head_plane : bool
        Add a second output: the logit that the image is a head plane.
    """

    paper_levels = tuple(PAPER_WIDTH * 2**level for level in reversed(range(LEVELS - 1)))

    def __init__(
        self,
        *,
        width: int = PAPER_WIDTH,
        window: int = 8,
        grid_px: int = 256,
        head_plane: bool = False,
    ) -> None:
        super().__init__()
        coarsest_px = PATCH_PX * 2 ** (LEVELS - 1)
        if grid_px % (coarsest_px * window) or width % FIRST_HEADS:
            raise ValueError(
                f"Grid {grid_px}, window {window}, width {width}: the grid must be a multiple of "
                f"{coarsest_px} times the window, and the width a multiple of {FIRST_HEADS}."
            )
        self.width = width
        shapes = [
            (width * 2**i, FIRST_HEADS * 2**i, grid_px // (PATCH_PX * 2**i), window)
            for i in range(LEVELS)
        ]
        self.embedding = nn.Conv2d(1, width, PATCH_PX, stride=PATCH_PX)
        self.embedding_norm = nn.LayerNorm(width)
        self.encoder = nn.ModuleList(SwinLevel(*shape, norm=False) for shape in shapes[:-1])
        self.merging = nn.ModuleList(PatchMerging(shape[0]) for shape in shapes[:-1])
        self.bottleneck = SwinLevel(*shapes[-1], norm=True)
        self.decoder = nn.ModuleList(
            SwinDecoderLevel(*shapes[i], norm=i == 0) for i in reversed(range(LEVELS - 1))
        )
        self.expansion = PatchExpansion(width, width, PATCH_PX)
        self.head = nn.Conv2d(width, 1, 1, bias=False)
        self.plane_head = nn.Linear(shapes[-1][0], 1) if head_plane else None
        self.apply(_initialise)

    def forward(self, network_input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Map (n, 1, grid_px, grid_px) normalised grey values to logits of the same shape.

        With `head_plane` the second output is the (n, 1) logits of a head plane.
        """
        tokens = self.embedding_norm(self.embedding(network_input).permute(0, 2, 3, 1))
        features, skips = tokens.permute(0, 3, 1, 2), []
        for level, merge in zip(self.encoder, self.merging, strict=True):
            skips.append(level(features))
            features = merge(skips[-1])
        bottom = self.bottleneck(features)
        features = bottom
        for level, skip in zip(self.decoder, reversed(skips), strict=True):
            features = level(features, skip)
        logits: Tensor = self.head(self.expansion(features))
        if self.plane_head is None:
            return logits
        return logits, self.plane_head(bottom.mean(dim=(2, 3)))


def _initialise(layer: nn.Module) -> None:
    """Draw the weights of a linear layer as the papers do; a norm begins as the identity."""
    if isinstance(layer, nn.Linear):
        nn.init.trunc_normal_(layer.weight, std=INITIAL_DEVIATION)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
