import pytest
import torch
from safetensors.torch import save_file

from training import halve
from training.checkpoint import load_trained, save_weights, to_file_sha256
from training.networks.attention_resunet import AttentionResUNet

SWITCHES = [(residual, attention) for residual in (True, False) for attention in (True, False)]


@pytest.mark.parametrize(("residual", "attention"), SWITCHES)
def test_network_of_a_file_without_a_record_is_recognised(tmp_path, residual, attention):
    """Width, options and logits are restored from the weights alone."""
    network = AttentionResUNet(width=4, residual=residual, attention=attention).eval()
    save_weights(network.to(memory_format=torch.channels_last), tmp_path / "weights.safetensors")
    loaded = load_trained(tmp_path / "weights.safetensors")
    picture = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert loaded.width == 4
    assert not loaded.training
    with torch.no_grad():
        torch.testing.assert_close(loaded(picture), network(picture), rtol=0, atol=1e-6)


def test_half_precision_is_loaded_as_float32(tmp_path):
    """A float16 file gives a float32 network whose weights are the rounded ones."""
    network = AttentionResUNet(width=2)
    halves = {name: each.half() for name, each in network.state_dict().items()}
    save_file(halves, tmp_path / "half.safetensors")
    loaded = load_trained(tmp_path / "half.safetensors")
    assert {each.dtype for each in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.head.weight, network.head.weight.half().float())
    assert not torch.equal(loaded.head.weight, network.head.weight)


def test_halving_rounds_kernels_and_nothing_else(tmp_path):
    """The file is half as large; a variance outside half precision's range is unchanged."""
    network = AttentionResUNet(width=8)
    network.bottleneck.first[1].running_var.fill_(1e6)
    whole, halved = tmp_path / "whole.safetensors", tmp_path / "halved.safetensors"
    save_weights(network, whole)
    assert halve.main(["--checkpoint", str(whole), "--out", str(halved)]) == 0
    assert halved.stat().st_size == pytest.approx(whole.stat().st_size / 2, rel=0.05)
    expected = {
        name: each.half().float() if each.ndim > 1 else each
        for name, each in network.state_dict().items()
    }
    torch.testing.assert_close(load_trained(halved).state_dict(), expected, rtol=0, atol=0)


def test_weights_of_an_unknown_network_are_refused(tmp_path):
    """The error says what is missing."""
    save_file({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"head\.weight"):
        load_trained(tmp_path / "other.safetensors")


def test_sha256_is_the_published_one(tmp_path):
    """The digest of `abc` is FIPS 180-2's."""
    (tmp_path / "abc").write_bytes(b"abc")
    assert to_file_sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")
