import pytest
import torch

from training.networks.sizes import count_parameters
from training.networks.unet_plus_plus import UNetPlusPlus

PAPER_PARAMETERS = 9_041_601
"""The size in the paper's own code at width 32, with biases and without batch norm."""


def count_as_the_paper(width):
    """Return the parameters of the paper's network: two 3x3 convolutions with bias per node."""
    channels, total = [width * 2**level for level in range(5)], width + 1
    before = [1, *channels]
    for i, own in enumerate(channels):
        for j in range(5 - i):
            joined = before[i] if j == 0 else (j + 1) * own
            total += 9 * joined * own + own + 9 * own * own + own
            total += 0 if j == 0 else 4 * channels[i + 1] * own + own
    return total


def count_convolutions(width):
    """Return the sum of the channels of all 3x3 convolutions."""
    return sum(2 * width * 2**i * (5 - i) for i in range(5))


def test_parameters_are_those_of_the_paper_with_batch_norm_for_biases():
    """Batch norm has two parameters a channel where the paper's convolution has one bias."""
    assert count_as_the_paper(32) == PAPER_PARAMETERS
    with torch.device("meta"):
        found = count_parameters(UNetPlusPlus(width=32))
    assert found == PAPER_PARAMETERS + count_convolutions(32)


@pytest.mark.parametrize("deep_supervision", [True, False])
def test_logits_have_the_input_grid_and_one_channel_per_trained_branch(deep_supervision):
    """In training mode deep supervision gives four channels; in evaluation mode there is one."""
    network = UNetPlusPlus(width=2, deep_supervision=deep_supervision)
    picture = torch.randn(2, 1, 32, 48)
    assert network(picture).shape == (2, 4 if deep_supervision else 1, 32, 48)
    assert network.eval()(picture).shape == (2, 1, 32, 48)


def test_evaluated_logits_are_the_mean_of_the_branches():
    """The one convolution of the evaluation mode gives the mean of the four branches."""
    torch.manual_seed(0)
    network = UNetPlusPlus(width=2, deep_supervision=True).eval()
    picture = torch.randn(1, 1, 32, 32)
    branches = []
    hook = network.head.register_forward_hook(lambda _layer, _in, out: branches.append(out))
    with torch.no_grad():
        mean = network(picture)
        network.head.train()
        features = []
        for column in network.columns:
            column[0].register_forward_hook(lambda _layer, _in, out: features.append(out))
        network(picture)
        expected = network.head(torch.cat(features, dim=1)).mean(dim=1, keepdim=True)
    hook.remove()
    torch.testing.assert_close(mean, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("deep_supervision", [True, False])
def test_every_parameter_gets_a_gradient(deep_supervision):
    """The loss reaches every nested node; each has a gradient that is not zero everywhere."""
    torch.manual_seed(0)
    network = UNetPlusPlus(width=4, deep_supervision=deep_supervision)
    network(torch.randn(2, 1, 32, 32)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        if not name.endswith("upsample.bias"):  # batch norm removes a constant
            assert parameter.grad.abs().max() > 0, name


def test_each_node_joins_all_earlier_nodes_of_its_level():
    """Node X(i, j) takes j features of its level and one upsampled: (j + 1) times the channels."""
    network = UNetPlusPlus(width=4)
    for j, column in enumerate(network.columns, start=1):
        widths = [node.block.first[0].in_channels for node in column]
        assert widths == [(j + 1) * 4 * 2**i for i in range(5 - j)]


def test_decoder_is_the_unet_inside_it():
    """The last nodes of the columns lead from the bottleneck to the head, deepest first."""
    network = UNetPlusPlus(width=4)
    assert [node.block.first[0].out_channels for node in network.decoder] == [32, 16, 8, 4]
    assert network.paper_levels == (256, 128, 64, 32)
