import pytest
import torch

from training.attention_resunet import (
    AttentionGate,
    AttentionResUNet,
    count_macs,
    count_parameters,
)

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
    """Shortcuts add a 1x1 convolution and its batch norm to each of the nine blocks, no more."""
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
    """A skip of ones comes out as the coefficients: one a pixel, all in [0, 1], not all alike."""
    generator = torch.Generator().manual_seed(0)
    gate = AttentionGate(8)
    with torch.no_grad():
        weighed = gate(torch.ones(2, 8, 16, 16), 5 * torch.randn(2, 8, 16, 16, generator=generator))
    assert weighed.min() >= 0
    assert weighed.max() <= 1
    assert weighed.std() > 0
    assert torch.equal(weighed, weighed[:, :1].expand_as(weighed))
