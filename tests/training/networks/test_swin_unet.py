import pytest
import torch

from training.networks.sizes import count_macs, count_parameters
from training.networks.swin_unet import (
    FORBIDDEN,
    SwinBlock,
    SwinUNet,
    WindowAttention,
    from_windows,
    to_relative_positions,
    to_shift_mask,
    to_windows,
)

PUBLISHED_M = 27.17
"""Million parameters of the published code: width 96, window 7, three channels in, nine out."""
TINY = {"width": 6, "window": 2, "grid_px": 64}


def count_as_the_paper(width, window, *, channels_in=3, classes=9):
    """Return the parameters of the published code, layer by layer."""
    total = 16 * channels_in * width + width + 2 * width  # embedding, norm
    for i in range(4):
        own, heads = width * 2**i, 3 * 2**i
        block = 4 * own + (3 * own**2 + 3 * own) + (own**2 + own) + (8 * own**2 + 5 * own)
        block += (2 * window - 1) ** 2 * heads
        total += (2 if i == 3 else 4) * block  # the bottleneck is in the encoder alone
        if i < 3:
            total += 8 * own + 4 * own * 2 * own  # merging
            total += 2 * own * 4 * own + 2 * own  # expansion from below
            total += 2 * own * own + own  # joins the skip
    total += 2 * 8 * width + 2 * width  # norms after the bottleneck and the decoder
    return total + 16 * width**2 + 2 * width + classes * width


def test_parameters_are_those_of_the_paper():
    """At width 96 and window 7 the formula gives the published 27.17 M, as the network does."""
    assert count_as_the_paper(96, 7) / 1e6 == pytest.approx(PUBLISHED_M, abs=0.005)
    with torch.device("meta"):
        found = count_parameters(SwinUNet(width=96, window=7, grid_px=224))
    assert found == count_as_the_paper(96, 7, channels_in=1, classes=1)


def test_macs_follow_from_the_tokens():
    """At twice the grid, with the same window, four times the multiply-accumulates are counted."""
    small, large = (
        count_macs(SwinUNet(width=6, window=2, grid_px=side), height_px=side, width_px=side)
        for side in (64, 128)
    )
    assert large == 4 * small


def test_logits_have_the_input_grid():
    """The picture goes in and comes out at one size, for one picture and for three."""
    network = SwinUNet(**TINY).eval()
    for batch in (1, 3):
        with torch.no_grad():
            logits = network(torch.randn(batch, 1, 64, 64))
        assert logits.shape == (batch, 1, 64, 64)
        assert torch.isfinite(logits).all()


def test_windows_are_cut_and_put_together_again():
    """Cutting 8x8 tokens into windows of 4 gives the corners; joining them gives the tokens."""
    tokens = torch.arange(64.0).reshape(1, 8, 8, 1)
    windows = to_windows(tokens, 4)
    assert windows.shape == (1, 4, 16, 1)
    assert torch.equal(windows[0, 1, :4, 0], torch.tensor([4.0, 5, 6, 7]))
    assert torch.equal(windows[0, 2, :4, 0], torch.tensor([32.0, 33, 34, 35]))
    assert torch.equal(from_windows(windows, 4, 8), tokens)


def test_relative_positions_are_equal_for_equal_offsets():
    """Every token has the same bias for itself, and (2w - 1) squared offsets occur in all."""
    positions = to_relative_positions(3)
    assert positions.diagonal().unique().numel() == 1
    assert positions.unique().tolist() == list(range(25))
    assert positions[0, 1] == positions[1, 2] == positions[3, 4]
    assert positions[0, 1] != positions[1, 0]


def test_shift_mask_separates_what_only_the_shift_joined():
    """The first window is whole; the last one holds four parts that must not see each other."""
    mask = to_shift_mask(8, 4, 2)
    assert mask.shape == (4, 1, 16, 16)
    assert mask[0].abs().max() == 0
    corner = mask[3, 0]
    assert torch.equal(corner, corner.T)
    for part in range(4):  # each of the parts has 4 of the 16 tokens
        row, column = divmod(part, 2)
        assert (corner[8 * row + 2 * column] == 0).sum() == 4
    assert corner.min() == FORBIDDEN


def find_reach(attention, side, place):
    """Return the tokens on which the result at one place depends, (side, side) bool."""
    tokens = torch.randn(1, side, side, 6, requires_grad=True)
    attention(tokens)[0, place[0], place[1]].sum().backward()
    return tokens.grad[0].abs().sum(dim=-1) > 1e-12  # exp(FORBIDDEN) is not exactly 0


@pytest.mark.parametrize(
    ("shift", "place", "rows", "columns"),
    [
        (0, (1, 6), (0, 4), (4, 8)),
        (2, (3, 3), (2, 6), (2, 6)),
        (2, (0, 0), (0, 2), (0, 2)),
        (2, (7, 3), (6, 8), (2, 6)),
    ],
)
def test_a_token_reaches_its_window_and_not_across_the_border(shift, place, rows, columns):
    """Windows of 4 on 8x8 tokens; with shift 2 they begin at -2, 2 and 6 and never wrap."""
    torch.manual_seed(0)
    reach = find_reach(WindowAttention(6, 3, 8, 4, shift), 8, place)
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[slice(*rows), slice(*columns)] = True
    assert torch.equal(reach, expected)


def test_two_blocks_reach_beyond_a_window():
    """A plain and a shifted block together see the windows that a shifted one touches."""
    torch.manual_seed(0)
    blocks = torch.nn.Sequential(SwinBlock(6, 3, 12, 4, 0), SwinBlock(6, 3, 12, 4, 2))
    reach = find_reach(blocks, 12, (3, 3))
    expected = torch.zeros(12, 12, dtype=torch.bool)
    expected[:8, :8] = True
    assert torch.equal(reach, expected)


def test_levels_shift_where_there_is_more_than_one_window():
    """At 256x256 with window 8 the levels have 64, 32, 16 and 8 tokens; the last is one window."""
    with torch.device("meta"):
        network = SwinUNet(width=27)
    levels = [*network.encoder, network.bottleneck]
    assert [level.blocks[0].attention.side for level in levels] == [64, 32, 16, 8]
    assert [level.blocks[0].attention.shift for level in levels] == [0, 0, 0, 0]
    assert [level.blocks[1].attention.shift for level in levels] == [4, 4, 4, 0]


@pytest.mark.parametrize(
    "keywords", [{"grid_px": 256, "window": 7}, {"width": 16}, {"grid_px": 48, "window": 2}]
)
def test_a_window_that_does_not_divide_the_grid_is_refused(keywords):
    """The error names what must divide what."""
    with pytest.raises(ValueError, match="must be a multiple"):
        SwinUNet(**keywords)


def test_every_parameter_gets_a_gradient():
    """The loss reaches every weight, and the biases of the relative positions."""
    torch.manual_seed(0)
    network = SwinUNet(**TINY)
    network(torch.randn(2, 1, 64, 64)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_checkpoint_holds_weights_alone():
    """Masks and indices follow from the arguments and are not stored."""
    names = SwinUNet(**TINY).state_dict()
    assert len(names) == len(dict(SwinUNet(**TINY).named_parameters()))
