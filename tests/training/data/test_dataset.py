from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from headcirc.geometry import Ellipse
from training.augmentation.examples import AugmentationRanges
from training.data.dataset import HC18Dataset, draw_addresses
from training.data.hc18 import HC18Image

ROWS, COLUMNS = 108, 160
SAMPLING = {"seed": 0, "small_head_weight": 2.0, "large_head_weight": 2.0}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Write one picture with an outlined head."""
    folder = tmp_path_factory.mktemp("heads")
    outline = np.zeros((ROWS, COLUMNS), np.uint8)
    cv2.ellipse(outline, (70, 50), (40, 30), 20, 0, 360, 255, 1)
    cv2.imwrite(str(folder / "picture.png"), cv2.GaussianBlur(outline, (0, 0), 2))
    cv2.imwrite(str(folder / "outline.png"), outline)
    return HC18Image("1_HC.png", 1, 0.2, 44.0, folder / "picture.png", folder / "outline.png")


def to_sizes(count, *, small, large):
    sizes_mm = [80.0] * small + [220.0] * large + [180.0] * (count - small - large)
    return [HC18Image(str(i), i, 0.1, size, Path(), Path()) for i, size in enumerate(sizes_mm)]


def test_small_and_large_heads_are_drawn_more_often():
    """One epoch has as many examples as images; heads below 100 and from 200 mm come twice."""
    images = to_sizes(60, small=20, large=10)
    addresses = draw_addresses(images, epoch=3, **SAMPLING)
    assert len(addresses) == 60
    assert len({seed for _, seed in addresses}) == 60
    assert sum(index < 20 for index, _ in addresses) == pytest.approx(60 * 40 / 90, abs=1)
    assert sum(20 <= index < 30 for index, _ in addresses) == pytest.approx(60 * 20 / 90, abs=1)
    assert addresses == draw_addresses(images, epoch=3, **SAMPLING)
    assert addresses != draw_addresses(images, epoch=4, **SAMPLING)


def test_an_address_always_gives_the_same_example(image):
    """The same address gives the same example; another seed gives another one."""
    heads = HC18Dataset([image], AugmentationRanges(), negative_share=0.5)
    first, again, other = heads[(0, 1)], heads[(0, 1)], heads[(0, 2)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_negatives_have_an_empty_label_and_the_given_share(image):
    """About 30 % of 200 examples have no head, and their coverage is zero."""
    heads = HC18Dataset([image], AugmentationRanges(), negative_share=0.3)
    shares = [float(heads[(0, seed)][1].mean()) for seed in range(200)]
    assert sum(share == 0 for share in shares) == pytest.approx(60, abs=20)
    assert min(share for share in shares if share > 0) > 0.02


def test_swapped_heads_keep_their_label(tmp_path, image):
    """With a similar head available, the picture changes and the coverage does not."""
    bright = np.full((ROWS, COLUMNS), 200, np.uint8)
    cv2.imwrite(str(tmp_path / "bright.png"), bright)
    donor = replace(image, name="2_HC.png", exam=2, path=tmp_path / "bright.png")
    still = AugmentationRanges(swap_probability=0.0)
    swapping = replace(still, swap_probability=1.0)
    plain, swapped = (HC18Dataset([image, donor], each)[(0, 5)] for each in (still, swapping))
    assert not torch.equal(plain[0], swapped[0])
    assert not torch.equal(plain[1], torch.zeros_like(plain[1]))
    alone = HC18Dataset([image], swapping)[(0, 5)]
    assert float(swapped[0].mean()) > float(alone[0].mean())


def test_a_head_of_another_size_is_not_swapped(image):
    """A donor of twice the size is never used: the example is that of the image alone."""
    unlike = replace(image, name="2_HC.png", exam=2, head_circumference_mm=88.0)
    ranges = AugmentationRanges(swap_probability=1.0)
    frame = HC18Dataset([image, unlike], ranges)._swap_head(0, np.random.default_rng(0))
    assert np.array_equal(frame, cv2.imread(str(image.path), cv2.IMREAD_GRAYSCALE))


def test_without_ranges_the_label_is_the_annotations_ellipse(image):
    """An image without augmentation has the coverage of its annotated ellipse."""
    heads = HC18Dataset([image], None)
    assert isinstance(heads.ellipses[0], Ellipse)
    network_input, coverage = heads[(0, 0)]
    assert network_input.shape == coverage.shape == (1, 256, 256)
    # 160 x 108 has the network's own proportions, so nothing is padded.
    assert float(coverage.mean()) == pytest.approx(np.pi * 40 * 30 / (ROWS * COLUMNS), rel=0.02)
