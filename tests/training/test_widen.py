from pathlib import Path

import pytest
import torch

from headcirc.network_input import to_network_input
from training.checkpoint import load_trained, save_weights
from training.data.hc18 import load_pixels, to_input_facts
from training.losses import to_loss
from training.networks.attention_resunet import AttentionResUNet
from training.widen import NOISE_SHARE, main, to_wide_kernel, widen

SHIPPED = Path("models/attention-resunet-16-split/checkpoint.safetensors")
PHANTOM = Path("examples/phantom.png")
LOGIT_TOLERANCE = 2e-5
"""Rounding in float32, on logits up to 13; 0.5e-5 to 1.4e-5 were measured."""
SWITCHES = [(residual, attention) for residual in (True, False) for attention in (True, False)]


def make_network(width=2, **switches):
    """Return a network in which no two channels are alike, batch norm's statistics included.

    A fresh one would hide a wrong order: its batch norms are all the identity.
    """
    generator = torch.Generator().manual_seed(1)
    network = AttentionResUNet(width=width, **switches).eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5, generator=generator)
                layer.bias.uniform_(-0.5, 0.5, generator=generator)
                layer.running_mean.uniform_(-0.2, 0.2, generator=generator)
                layer.running_var.uniform_(0.5, 1.5, generator=generator)
            elif isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                layer.weight.normal_(0, layer.weight[0].numel() ** -0.5, generator=generator)
                if layer.bias is not None:
                    layer.bias.uniform_(-0.5, 0.5, generator=generator)
    return network


def draw_pictures():
    return torch.randn(2, 1, 32, 48, generator=torch.Generator().manual_seed(2))


def measure_difference(network, wide, pictures):
    """Return the largest difference of logits, having made sure that the logits are no constant."""
    with torch.no_grad():
        expected, found = network(pictures), wide(pictures)
    assert expected.std() > 0.01
    return float((found - expected).abs().max())


@pytest.mark.parametrize("noise_share", [0, NOISE_SHARE])
@pytest.mark.parametrize(("residual", "attention"), SWITCHES)
@pytest.mark.parametrize("factor", [2, 4])
def test_widening_keeps_the_logits(factor, residual, attention, noise_share):
    """Each of the four networks gives its logits to 1e-5 at two and four times the width."""
    network = make_network(residual=residual, attention=attention)
    wide = widen(network, factor, noise_share=noise_share)
    assert wide.width == 2 * factor
    assert not wide.training
    assert measure_difference(network, wide, draw_pictures()) < 1e-5


def test_widening_keeps_the_logits_at_a_factor_of_three():
    """Three copies share each weight."""
    network = make_network()
    assert measure_difference(network, widen(network, 3), draw_pictures()) < 1e-5


def test_widening_keeps_the_logits_in_training_mode():
    """With the batch's statistics in place of the running ones the logits agree as well.

    In float64, since twelve values a channel at the bottleneck make rounding errors large.
    """
    network = make_network().double().train()
    assert measure_difference(network, widen(network, 2), draw_pictures().double()) < 1e-10


@pytest.mark.parametrize("factor", [2, 4])
def test_widened_shipped_network_keeps_its_probabilities(factor):
    """At widths 32 and 64 the trained width 16 gives a phantom's probabilities to 1e-5.

    On every second pixel of the grid, which shows a smaller head in a quarter of the time.
    """
    network = load_trained(SHIPPED)
    network_input, _ = to_network_input(load_pixels(PHANTOM), to_input_facts())
    pictures = torch.from_numpy(network_input)[..., ::2, ::2].contiguous()
    with torch.no_grad():
        expected, found = network(pictures), widen(network, factor)(pictures)
    assert 0.2 < (expected > 0).float().mean() < 0.6
    assert (torch.sigmoid(found) - torch.sigmoid(expected)).abs().max() < 1e-5
    assert (found - expected).abs().max() < LOGIT_TOLERANCE


def test_kernel_is_divided_and_its_noise_sums_to_zero():
    """Worked by hand: 6 from one channel is 3 from each of two; noise changes both, not the sum."""
    kernel = torch.full((1, 1, 1, 1), 6.0)
    generator = torch.Generator().manual_seed(0)
    assert to_wide_kernel(kernel, 2, 3, 0, generator).flatten(1).tolist() == [[3, 3]] * 3
    noisy = to_wide_kernel(kernel, 2, 3, 0.5, generator).flatten(1)
    assert noisy.sum(dim=1).tolist() == pytest.approx([6, 6, 6])
    assert len(set(noisy.flatten().tolist())) == 6


def test_noise_has_the_stated_size():
    """Mean absolute noise is half the mean absolute weight."""
    kernel = torch.randn(64, 32, 3, 3, generator=torch.Generator().manual_seed(0))
    plain, noisy = (
        to_wide_kernel(kernel, 2, 2, share, torch.Generator().manual_seed(0)) for share in (0, 0.5)
    )
    assert float((noisy - plain).abs().mean() / plain.abs().mean()) == pytest.approx(0.5, rel=0.02)


def test_noise_depends_on_the_seed_only():
    """The same seed gives the same weights; another seed gives others."""
    first, again, other = (widen(make_network(), 2, seed=seed).head.weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_widening_does_not_change_the_original_network():
    """Widening leaves the narrow weights alone."""
    network = make_network()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    widen(network, 2)
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())


def measure_spread(wide, copies):
    """Return how far apart the copies of a channel are, over the tensors that start as copies.

    Those are batch norm's factors and the kernels that read the picture: noise does not reach
    them, so only gradients can set them apart. Relative to the largest entry; the smallest of all
    groups, so that one group of lasting copies shows.
    """
    spreads = {}
    for name, values in wide.named_parameters():
        is_first = name.startswith("encoder.0.") and values.ndim == 4 and values.shape[1] == 1
        if is_first or (values.ndim == 1 and len(values) > 1):
            groups = values.detach().reshape(len(values) // copies, copies, -1)
            spread = (groups.amax(dim=1) - groups.amin(dim=1)).amax(dim=-1)
            spreads[name] = float(spread.min() / values.detach().abs().max())
    return spreads


def take_ten_steps(wide):
    """Train on random pictures and coverage, as `training.train` does."""
    generator = torch.Generator().manual_seed(3)
    optimiser = torch.optim.AdamW(wide.train().parameters(), lr=1e-3)
    for _ in range(10):
        pictures = torch.randn(2, 1, 32, 32, generator=generator, dtype=torch.float64)
        coverage = torch.rand(2, 1, 32, 32, generator=generator, dtype=torch.float64)
        optimiser.zero_grad()
        to_loss(wide(pictures), coverage).backward()
        optimiser.step()


@pytest.mark.parametrize("factor", [2, 4])
def test_copies_become_different_within_ten_steps(factor):
    """Every group of copies that the noise left alike differs after ten optimiser steps.

    By 2e-6 at least and 3e-4 in the median, where the control below stays within 3e-16.
    """
    wide = widen(make_network().double(), factor)
    assert set(measure_spread(wide, factor).values()) == {0}
    take_ten_steps(wide)
    spreads = measure_spread(wide, factor)
    assert {name: spread for name, spread in spreads.items() if spread < 1e-7} == {}


def test_copies_without_noise_stay_equal():
    """Control: without noise, ten steps change all copies equally."""
    wide = widen(make_network().double(), 2, noise_share=0)
    before = wide.head.weight.detach().clone()
    take_ten_steps(wide)
    assert max(measure_spread(wide, 2).values()) < 1e-12
    assert (wide.head.weight - before).abs().min() > 1e-4


@pytest.mark.parametrize(("width", "factor"), [(2, 1), (2, 0), (3, 2)])
def test_invalid_factor_or_width_for_widening_is_refused(width, factor):
    """The factor must be at least 2 and the width even."""
    with pytest.raises(ValueError, match="Cannot widen"):
        widen(AttentionResUNet(width=width), factor)


def test_command_writes_what_the_function_makes(tmp_path):
    """`python -m training.widen` writes the wide weights of the named seed."""
    save_weights(make_network(), tmp_path / "narrow.safetensors")
    options = ["--factor", "2", "--seed", "5", "--out", str(tmp_path / "wide.safetensors")]
    assert main(["--checkpoint", str(tmp_path / "narrow.safetensors"), *options]) == 0
    written = load_trained(tmp_path / "wide.safetensors").state_dict()
    expected = widen(make_network(), 2, seed=5).state_dict()
    assert written.keys() == expected.keys()
    assert all(torch.equal(values, expected[name]) for name, values in written.items())
