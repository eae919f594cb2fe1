from pathlib import Path

import pytest
import torch

from training.checkpoint import load_trained, save_weights
from training.networks.attention_resunet import AttentionResUNet
from training.prune import main, prune
from training.widen import widen

SWITCHES = [(residual, attention) for residual in (True, False) for attention in (True, False)]


def make_network(width, **switches):
    """Return a network whose every weight differs, batch norm's included."""
    torch.manual_seed(1)
    network = AttentionResUNet(width=width, **switches).eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.uniform_(-0.5, 0.5)
                layer.running_mean.uniform_(-0.2, 0.2)
                layer.running_var.uniform_(0.5, 1.5)
    return network


def silence_second_copies(wide):
    """Make every second channel nothing, and its first copy read in its place.

    `widen` puts copies side by side and halves what reads them. Batch norm's factors and shifts of
    the second copies are set to 0, transposed kernels too; what reads is doubled.
    """
    with torch.no_grad():
        for layer in wide.modules():
            if isinstance(layer, torch.nn.BatchNorm2d) and layer.num_features > 1:
                layer.weight[1::2] = 0
                layer.bias[1::2] = 0
            elif isinstance(layer, torch.nn.ConvTranspose2d):
                layer.weight[:, 1::2] = 0
                layer.bias[1::2] = 0
                layer.weight *= 2
            elif isinstance(layer, torch.nn.Conv2d) and layer.in_channels > 1:
                layer.weight *= 2


@pytest.mark.parametrize(("residual", "attention"), SWITCHES)
def test_pruning_removes_channels_without_effect(residual, attention):
    """With half of the channels silenced, each pruned network gives the same logits."""
    network = make_network(4, residual=residual, attention=attention)
    wide = widen(network, 2, noise_share=0)
    silence_second_copies(wide)
    narrow = prune(wide, 4)
    pictures = torch.randn(2, 1, 32, 48)
    with torch.no_grad():
        expected, silenced, found = network(pictures), wide(pictures), narrow(pictures)
    assert expected.std() > 1e-3
    assert (silenced - expected).abs().max() < 1e-5
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize("width", [8, 12])
def test_shipped_network_can_be_pruned(width):
    """The result is a complete network of the given width, and the original is unchanged."""
    network = load_trained(Path("models/attention-resunet-16-split/checkpoint.safetensors"))
    before = {name: values.clone() for name, values in network.state_dict().items()}
    narrow = prune(network, width)
    assert narrow.width == width
    assert not narrow.training
    with torch.no_grad():
        assert torch.isfinite(narrow(torch.zeros(1, 1, 32, 32))).all()
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())


@pytest.mark.parametrize("width", [0, 3, 4, 6])
def test_invalid_width_for_pruning_is_refused(width):
    """Zero, odd and larger widths are refused."""
    with pytest.raises(ValueError, match="Cannot prune"):
        prune(AttentionResUNet(width=4), width)


def test_command_writes_what_the_function_makes(tmp_path):
    """`python -m training.prune` writes the narrow weights."""
    network = make_network(4)
    save_weights(network, tmp_path / "wide.safetensors")
    options = ["--width", "2", "--out", str(tmp_path / "narrow.safetensors")]
    assert main(["--checkpoint", str(tmp_path / "wide.safetensors"), *options]) == 0
    written = load_trained(tmp_path / "narrow.safetensors").state_dict()
    expected = prune(network, 2).state_dict()
    assert all(torch.equal(values, expected[name]) for name, values in written.items())
