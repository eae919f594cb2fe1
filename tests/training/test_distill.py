from dataclasses import replace

import pytest
import torch

from training.checkpoint import save_weights, to_file_sha256
from training.distill import Teacher, load_teacher, to_distilled_loss
from training.losses import to_loss
from training.networks.attention_resunet import AttentionResUNet
from training.recipe import Recipe
from training.train import train_epoch
from training.training_state import start

RECIPE = Recipe(
    width=2, epochs=1, bfloat16=False, teacher_sha256="of the test", distillation_weight=1.0
)


class Ramp(torch.nn.Module):
    """A network with a right hand: its logits are the grey values times the column."""

    def forward(self, network_input):
        """Multiply by 0, 1, 2, ... from left to right."""
        return network_input * torch.arange(network_input.shape[-1])


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_teacher_averages_picture_and_mirror_image():
    """Worked by hand: columns 0 and 1 of ones have logits 0 and 1, mirrored 1 and 0."""
    answers = Teacher(Ramp(), bfloat16=False).to_probabilities(torch.ones(1, 1, 1, 2))
    expected = (torch.sigmoid(torch.tensor(0.0)) + torch.sigmoid(torch.tensor(1.0))) / 2
    assert answers.flatten().tolist() == pytest.approx([float(expected)] * 2)


def test_mirrored_picture_gives_the_mirrored_probabilities():
    """The mean is symmetric, although the network is not."""
    picture = draw(2, 1, 4, 6)
    teacher = Teacher(Ramp(), bfloat16=False)
    answers = teacher.to_probabilities(picture)
    assert torch.allclose(teacher.to_probabilities(picture.flip(-1)), answers.flip(-1))
    assert not torch.allclose(Ramp()(picture.flip(-1)), Ramp()(picture).flip(-1))


def test_teacher_averages_its_networks():
    """A ramp and a flat network: each column's probability is between theirs."""
    flat = torch.nn.Identity()
    picture = torch.ones(1, 1, 1, 2)
    both, ramp, even = (
        Teacher(*networks, bfloat16=False).to_probabilities(picture)
        for networks in ((Ramp(), flat), (Ramp(),), (flat,))
    )
    assert torch.allclose(both, (ramp + even) / 2)
    assert not torch.allclose(ramp, even)


def test_teacher_is_ignored_for_pictures_without_a_head():
    """The loss uses the empty annotation, whatever the teacher predicts."""
    logits, empty = draw(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    found = to_distilled_loss(logits, empty, torch.ones(2, 1, 4, 4), weight=0.7)
    assert found.item() == pytest.approx(to_loss(logits, empty).item())


def test_bfloat16_teacher_returns_float32():
    """Bfloat16 convolutions change a probability by less than 0.02."""
    torch.manual_seed(0)
    network, picture = AttentionResUNet(width=4), draw(2, 1, 32, 32)
    rounded, exact = (
        Teacher(network, bfloat16=each).to_probabilities(picture) for each in (True, False)
    )
    assert rounded.dtype == torch.float32
    assert 0 < float((rounded - exact).abs().max()) < 0.02


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_distilled_loss_is_the_weighted_mean(weight):
    """The annotation has 1 minus the teacher's weight."""
    logits, coverage, answers = (
        draw(2, 1, 4, 4) + 1,
        torch.ones(2, 1, 4, 4),
        torch.full((2, 1, 4, 4), 0.3),
    )
    expected = (1 - weight) * to_loss(logits, coverage) + weight * to_loss(logits, answers)
    found = to_distilled_loss(logits, coverage, answers, weight=weight)
    assert found.item() == pytest.approx(expected.item())
    assert abs(to_loss(logits, coverage).item() - to_loss(logits, answers).item()) > 0.1


def take_one_step(recipe, coverage):
    """Return all weights after one step as one row, and the teacher's head before and after."""
    torch.manual_seed(1)
    teacher = Teacher(AttentionResUNet(width=2), bfloat16=False)
    before = teacher.networks[0].head.weight.clone()
    state = start(recipe, steps_per_epoch=1)
    train_epoch(state, [(draw(2, 1, 32, 32), coverage)], recipe, teacher)
    weights = torch.cat([each.detach().flatten() for each in state.network.parameters()])
    return weights, before, teacher.networks[0].head.weight


def test_training_does_not_change_the_teacher():
    """The teacher's weights and their gradients stay what they were."""
    _, before, after = take_one_step(RECIPE, torch.ones(2, 1, 32, 32))
    assert torch.equal(before, after)
    assert after.grad is None


def test_weight_decides_whether_the_annotation_counts():
    """With a weight of 1 the annotation has no effect; with 0.5 it has."""
    ones, halves = torch.ones(2, 1, 32, 32), torch.full((2, 1, 32, 32), 0.5)
    half = replace(RECIPE, distillation_weight=0.5)
    assert torch.equal(take_one_step(RECIPE, ones)[0], take_one_step(RECIPE, halves)[0])
    assert not torch.equal(take_one_step(half, ones)[0], take_one_step(half, halves)[0])


def test_teacher_must_match_the_recipe(tmp_path):
    """A file with another SHA-256 is refused; the right one loads at any width."""
    path = tmp_path / "teacher.safetensors"
    save_weights(AttentionResUNet(width=4), path)
    (network,) = load_teacher([path], to_file_sha256(path), bfloat16=False).networks
    assert network.width == 4
    with pytest.raises(ValueError, match="started with"):
        load_teacher([path], "0" * 64, bfloat16=False)
