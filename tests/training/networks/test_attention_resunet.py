from pathlib import Path

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession

from headcirc.pipeline import SHIPPED_MODEL_DIR
from training.checkpoint import load_trained
from training.networks.attention_resunet import HALF_TIME, AttentionGate, AttentionResUNet
from training.networks.sizes import count_macs, count_parameters

WIDTH = 4
CHANNELS = [WIDTH * 2**level for level in range(4)]
SWITCHES = [(residual, attention) for residual in (True, False) for attention in (True, False)]


def count(**switches):
    return count_parameters(AttentionResUNet(width=WIDTH, **switches))


@pytest.mark.parametrize(
    ("width", "parameters", "gmac"),
    [(16, 2_053_185, 3.25), (32, 8_201_849, 12.98), (64, 32_785_641, 51.86)],
)
def test_size_of_each_width_is_the_published_one(width, parameters, gmac):
    """Parameters and multiply-accumulates at 256x256 are those stated for widths 16, 32 and 64."""
    with torch.device("meta"):  # shapes only: nothing is computed
        network = AttentionResUNet(width=width)
        assert count_parameters(network) == parameters
        assert count_macs(network) / 1e9 == pytest.approx(gmac, abs=0.005)


@pytest.mark.parametrize(("residual", "attention"), SWITCHES)
def test_every_switch_combination_gives_logits_on_the_input_grid(residual, attention):
    """Each of the four networks maps (2, 1, 32, 48) to finite logits of the same shape."""
    network = AttentionResUNet(width=WIDTH, residual=residual, attention=attention).eval()
    with torch.no_grad():
        logits = network(torch.randn(2, 1, 32, 48, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (2, 1, 32, 48)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("attention", [True, False])
def test_residual_adds_one_projection_to_each_block(attention):
    """Shortcuts add a 1x1 convolution and its batch norm to each of the nine blocks."""
    levels = [*CHANNELS, 2 * CHANNELS[-1]]
    down = list(zip([1, *levels], levels, strict=False))
    up = [(2 * channels, channels) for channels in CHANNELS]
    expected = sum(before * after + 2 * after for before, after in down + up)
    added = count(residual=True, attention=attention) - count(residual=False, attention=attention)
    assert added == expected


@pytest.mark.parametrize("residual", [True, False])
def test_attention_adds_one_gate_to_each_skip(residual):
    """A gate on c channels has two projections to c/2 and one to 1, each with batch norm."""
    expected = sum(2 * (c * c // 2 + c) + c // 2 + 2 for c in CHANNELS)
    added = count(residual=residual, attention=True) - count(residual=residual, attention=False)
    assert added == expected


def test_gate_weighs_a_skip_by_coefficients_from_zero_to_one():
    """A skip of ones becomes the coefficients: one per pixel, all in [0, 1], not all equal."""
    generator = torch.Generator().manual_seed(0)
    gate = AttentionGate(8)
    with torch.no_grad():
        weighed = gate(torch.ones(2, 8, 16, 16), 5 * torch.randn(2, 8, 16, 16, generator=generator))
    assert weighed.min() >= 0
    assert weighed.max() <= 1
    assert weighed.std() > 0
    assert torch.equal(weighed, weighed[:, :1].expand_as(weighed))


def test_half_time_network_has_the_published_size():
    """The stride-2 stem and channels 32-32-64-128-256 give 1.49 GMAC and 2.10 M parameters."""
    with torch.device("meta"):
        network = AttentionResUNet(**HALF_TIME)
        assert count_macs(network) / 1e9 == pytest.approx(1.49, abs=0.005)
        assert count_parameters(network) / 1e6 == pytest.approx(2.10, abs=0.005)


@pytest.mark.parametrize("halving_stem", [True, False])
def test_head_plane_is_a_second_output(halving_stem):
    """Logits keep the input's grid and each image has one head-plane logit."""
    options = {"channels": (2, 2, 4, 4, 8), "halving_stem": halving_stem}
    network = AttentionResUNet(**options, head_plane=True).eval()
    logits, plane_logits = network(torch.randn(3, 1, 64, 32))
    assert logits.shape == (3, 1, 64, 32)
    assert plane_logits.shape == (3, 1)


def test_head_plane_logit_is_linear_in_the_means_of_the_bottleneck():
    """With known weights the logit is the weighted sum of the bottleneck's means and the bias."""
    network = AttentionResUNet(channels=(2, 2, 4, 4, 8), head_plane=True).eval()
    network_input = torch.randn(3, 1, 64, 32)
    with torch.no_grad():
        network.plane_head.weight.copy_(torch.arange(8.0)[None])
        network.plane_head.bias.fill_(0.5)
        _, bottom = network.encode(network_input)
        means = bottom.flatten(2).mean(dim=2)
        expected = (means * torch.arange(8.0)).sum(dim=1, keepdim=True) + 0.5
        torch.testing.assert_close(network(network_input)[1], expected)


@pytest.mark.parametrize("halving_stem", [True, False])
def test_every_parameter_gets_a_gradient_from_the_two_outputs(halving_stem):
    """The losses of mask and head plane together reach every weight."""
    torch.manual_seed(0)
    options = {"channels": (2, 4, 4, 8, 8), "halving_stem": halving_stem}
    network = AttentionResUNet(**options, head_plane=True)
    logits, plane_logits = network(torch.randn(2, 1, 64, 64))
    (logits.square().mean() + plane_logits.square().mean()).backward()
    without = [name for name, each in network.named_parameters() if each.grad is None]
    assert not without


def test_half_time_network_keeps_input_and_output_aligned():
    """The halving stem and the sub-pixel head keep input and output aligned.

    A change of one input pixel in a fresh network changes the most where it was made.
    """
    torch.manual_seed(3)
    network = AttentionResUNet(channels=(4, 4, 4, 4, 4), halving_stem=True, attention=False).eval()
    blank, dot = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    dot[0, 0, 20, 41] = 100.0
    with torch.no_grad():
        change = (network(dot) - network(blank)).abs()[0, 0]
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    weight = change / change.sum()
    assert float((weight * rows).sum()) == pytest.approx(20, abs=4)
    assert float((weight * columns).sum()) == pytest.approx(41, abs=4)


def test_wrong_number_of_levels_is_refused():
    """Four levels and a bottleneck have five channel counts."""
    with pytest.raises(ValueError, match="give 5"):
        AttentionResUNet(channels=(2, 4, 8))


def test_checkpoint_gives_the_probabilities_of_the_shipped_graph():
    """The checkpoint's weights give the probabilities of the shipped ONNX file."""
    network = load_trained(Path("models/attention-resunet-half/checkpoint.safetensors"))
    generator = np.random.default_rng(0)
    picture = generator.standard_normal((1, 1, 256, 256)).astype(np.float32)
    session = InferenceSession(SHIPPED_MODEL_DIR / "model.onnx", providers=["CPUExecutionProvider"])
    expected = session.run(None, {"network_input": picture})[0]
    with torch.no_grad():
        found = torch.sigmoid(network(torch.from_numpy(picture))[0])
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-4)
