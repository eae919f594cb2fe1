"""Define the U-Net++: a U-Net whose skips are nested, densely connected convolution blocks.

Written after the paper. Node X(i, j) at level i joins all earlier nodes of its level with the
upsampled node X(i + 1, j - 1). The blocks are those of this project's U-Net (`attention_resunet`),
with batch norm in place of the paper's biases and dropout. So the nested skips are the only
difference between the two networks.

References
----------
Zhou et al. 2018, arXiv 1807.10165.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.networks.attention_resunet import LEVELS, ConvolutionBlock

PAPER_WIDTH = 32


class NestedNode(nn.Module):
    """Node X(i, j): upsample the node below, join it with j nodes of the level, and convolve."""

    def __init__(self, channels: int, joined: int) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(2 * channels, channels, 2, stride=2)
        self.block = ConvolutionBlock((joined + 1) * channels, channels, residual=False)

    def forward(self, below: Tensor, level: list[Tensor]) -> Tensor:
        """Map (n, 2c, h, w) and j features (n, c, 2h, 2w) to (n, c, 2h, 2w)."""
        return self.block(torch.cat((*level, self.upsample(below)), dim=1))


class UNetPlusPlus(nn.Module):
    """Segmentation network: grey image in, head logits out.

    Parameters
    ----------
    width : int
        Channels of the first level, doubled at each further level; the paper uses 32.
    deep_supervision : bool
        Give logits from each of the four nodes X(0, 1) to X(0, 4). In training mode each is one
        channel of the output; in evaluation mode the output is their mean.
    head_plane : bool
        Add a second output: the logit that the image is a head plane.
    """

    paper_levels = tuple(PAPER_WIDTH * 2**level for level in reversed(range(LEVELS)))

    def __init__(
        self,
        *,
        width: int = PAPER_WIDTH,
        deep_supervision: bool = False,
        head_plane: bool = False,
    ) -> None:
        super().__init__()
        self.width = width
        channels = [width * 2**level for level in range(LEVELS + 1)]
        *levels, bottom = channels
        self.encoder = nn.ModuleList(
            ConvolutionBlock(before, after, residual=False)
            for before, after in zip([1, *levels], levels, strict=False)
        )
        self.bottleneck = ConvolutionBlock(levels[-1], bottom, residual=False)
        self.columns = nn.ModuleList(
            nn.ModuleList(NestedNode(channels[i], column) for i in range(LEVELS + 1 - column))
            for column in range(1, LEVELS + 1)
        )
        self.branches = LEVELS if deep_supervision else 1
        self.head = nn.Conv2d(self.branches * width, self.branches, 1, groups=self.branches)
        self.plane_head = nn.Linear(bottom, 1) if head_plane else None

    @property
    def decoder(self) -> list[nn.Module]:
        """Return the nodes X(3, 1), X(2, 2), X(1, 3) and X(0, 4), which a U-Net has, too."""
        return [column[-1] for column in self.columns]  # type: ignore[index]

    def forward(self, network_input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Map (n, 1, h, w) normalised grey values to (n, 1, h, w) logits.

        In training mode with deep supervision, the logits are (n, 4, h, w). With `head_plane` the
        second output is the (n, 1) logits of a head plane. h and w must be multiples of 16.
        """
        rows = [[self.encoder[0](network_input)]]
        for level in (*self.encoder[1:], self.bottleneck):
            rows.append([level(torch.max_pool2d(rows[-1][0], 2))])
        for column in self.columns:
            for i, node in enumerate(column):  # type: ignore[arg-type]
                rows[i].append(node(rows[i + 1][-1], rows[i]))
        features = torch.cat(rows[0][-self.branches :], dim=1)
        is_mean = self.branches > 1 and not self.training
        logits: Tensor = self._to_mean_logits(features) if is_mean else self.head(features)
        if self.plane_head is None:
            return logits
        return logits, self.plane_head(rows[-1][0].mean(dim=(2, 3)))

    def _to_mean_logits(self, features: Tensor) -> Tensor:
        """Return the mean of all branches' logits as one convolution, so that graphs end in it."""
        weight = self.head.weight.reshape(1, -1, 1, 1) / self.branches
        bias = self.head.bias
        assert bias is not None, "the head has a bias"
        return functional.conv2d(features, weight, bias.mean(dim=0, keepdim=True))
