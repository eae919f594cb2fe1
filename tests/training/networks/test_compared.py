import pytest
import torch

from training.networks import COMPARED, NETWORKS, PAPERS, TITLES, build_network
from training.networks.attention_resunet import AttentionResUNet
from training.networks.sizes import count_macs, count_parameters, main
from training.networks.unet_plus_plus import UNetPlusPlus

SIZES = {
    "attention-resunet": (2_053_185, 3.25),
    "resunet": (2_030_817, 3.18),
    "attention-unet": (1_964_657, 3.08),
    "unet": (1_942_289, 3.01),
    "unet-plus-plus": (2_263_425, 7.44),
    "swin-unet": (2_190_105, 0.71),
}
"""Parameters and GMAC that `docs/comparison.md` states."""
PAPER_UNET_PARAMETERS = 7_759_521
"""The size of the U-Net in the code of the U-Net++ paper, width 32, biases and no batch norm."""


def test_sizes_are_the_published_ones():
    """All six have about 2 M parameters, as the protocol states."""
    assert COMPARED.keys() == SIZES.keys()
    with torch.device("meta"):
        for name, (parameters, gmac) in SIZES.items():
            network = build_network(name, **COMPARED[name])
            assert count_parameters(network) == parameters
            assert count_macs(network) / 1e9 == pytest.approx(gmac, abs=0.005)


def test_names_select_the_two_switches():
    """ResUNet has shortcuts and no gates, the Attention U-Net the reverse, the U-Net neither."""
    found = {}
    for name in ("attention-resunet", "resunet", "attention-unet", "unet"):
        network = build_network(name, width=4)
        assert isinstance(network, AttentionResUNet)
        gates = network.decoder[0].gate is not None
        found[name] = (network.bottleneck.shortcut is not None, gates)
    assert list(found.values()) == [(True, True), (True, False), (False, True), (False, False)]


def test_unet_has_the_parameters_of_the_published_one():
    """At width 32 it is the U-Net of the U-Net++ paper's code, with batch norm for the biases."""
    with torch.device("meta"):
        found = count_parameters(build_network("unet", width=32))
    normed = 2 * sum((1 + (level < 4)) * 32 * 2**level for level in range(5))
    assert found == PAPER_UNET_PARAMETERS + normed


def test_every_network_has_a_title_and_a_paper():
    """Manifests and tables name them."""
    assert NETWORKS.keys() == TITLES.keys() == PAPERS.keys()


@pytest.mark.slow
def test_command_prints_a_row_for_each_compared_network(capsys):
    """The table of the protocol is made by a command."""
    main(["--compared"])
    rows = capsys.readouterr().out.splitlines()
    assert rows[-1] == "| Swin U-Net | 2,190,105 | 0.71 | 1.42 |"
    assert len(rows) == 2 + len(COMPARED)


def make_additive(network):
    """Give every convolution positive weights and every batch norm the identity."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            torch.nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
            if layer.bias is not None:
                torch.nn.init.zeros_(layer.bias)
    return network.double().eval()  # the edge of a field has tiny weights


def to_field_px(levels):
    """Return the receptive field after blocks of two 3x3 convolutions with pooling between."""
    field, step = 1, 1
    for level in range(levels):
        if level:
            field, step = field + step, 2 * step
        field += 2 * 2 * step
    return field


@pytest.mark.parametrize("make", [UNetPlusPlus, AttentionResUNet])
def test_bottleneck_sees_140_pixels(make):
    """Five levels of two 3x3 convolutions: 5, 14, 32, 68 and 140 pixels wide."""
    assert [to_field_px(levels) for levels in range(1, 6)] == [5, 14, 32, 68, 140]
    network, side, kept = make_additive(make(width=2)), 192, {}
    network.bottleneck.register_forward_hook(lambda _layer, _in, out: kept.update(out=out))
    pictures = torch.ones(side + 1, 1, 16, side, dtype=torch.float64)
    for column in range(side):
        pictures[column, 0, 8, column] += 1
    with torch.no_grad():
        network(pictures)
    results = kept["out"][:, 0, 0, 6]
    seen = results[:-1] > results[-1] * (1 + 1e-12)
    assert int(seen.sum()) == to_field_px(5)
    assert torch.equal(torch.diff(seen.nonzero()[:, 0]), torch.ones(139, dtype=torch.int64))
