"""Provide HC18 images as a PyTorch data set, and draw the examples of an epoch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from headcirc.geometry import Ellipse, to_affine_image
from headcirc.network_input import to_network_input
from headcirc.raster import to_ellipse_coverage
from training.augmentation.examples import AugmentationRanges, change_grey_values, to_example
from training.augmentation.head_swap import are_alike, is_whole, paste_head
from training.data.hc18 import HC18Image, load_pixels, to_input_facts, to_true_ellipse
from training.data.negatives import draw_negative

INPUT = to_input_facts()
DONOR_DRAWS = 20


class HC18Dataset(Dataset[tuple[Tensor, Tensor]]):
    """HC18 images in memory. The address (index, seed) always gives the same example.

    Parameters
    ----------
    images : sequence of HC18Image
    ranges : AugmentationRanges or None
        None for images without augmentation, prepared as in the service.
    negative_share : float
        Share of augmented examples that are pictures without a head.
    """

    def __init__(
        self,
        images: Sequence[HC18Image],
        ranges: AugmentationRanges | None,
        negative_share: float = 0.0,
    ) -> None:
        self.images = images
        self.ranges = ranges
        self.negative_share = negative_share
        self.frames = [load_pixels(image.path) for image in tqdm(images, "reading images")]
        self.ellipses = [to_true_ellipse(load_pixels(each.annotation_path)) for each in images]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, address: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return network input and coverage, each (1, h, w)."""
        index, seed = address
        pixels, ellipse = self.frames[index], self.ellipses[index]
        if self.ranges is None:
            return _to_plain_example(pixels, ellipse)
        generator = np.random.default_rng((seed, index))
        if generator.random() < self.negative_share:
            picture = draw_negative(pixels, ellipse, INPUT, generator)
            grey = change_grey_values(picture, self.ranges, generator)
            coverage = np.zeros_like(grey)
        else:
            if generator.random() < self.ranges.swap_probability:
                pixels = self._swap_head(index, generator)
            grey, coverage = to_example(
                pixels, ellipse, facts=INPUT, ranges=self.ranges, generator=generator
            )
        network_input = (grey - INPUT.mean) / INPUT.standard_deviation
        return (
            torch.from_numpy(network_input.astype(np.float32))[None],
            torch.from_numpy(coverage)[None],
        )

    def _swap_head(self, index: int, generator: np.random.Generator) -> np.ndarray:
        """Replace an image's head by one of similar size from another image, if one is found."""
        pixels, ellipse = self.frames[index], self.ellipses[index]
        size_mm = self.images[index].head_circumference_mm
        for donor in generator.integers(len(self.images), size=DONOR_DRAWS):
            other_pixels, other = self.frames[donor], self.ellipses[donor]
            other_mm = self.images[donor].head_circumference_mm
            if donor != index and are_alike(size_mm, other_mm) and is_whole(other_pixels, other):
                return paste_head(pixels, ellipse, other_pixels, other, generator)
        return pixels


def _to_plain_example(pixels: np.ndarray, ellipse: Ellipse) -> tuple[Tensor, Tensor]:
    network_input, mapping = to_network_input(pixels, INPUT)
    on_grid = to_affine_image(ellipse, mapping.to_network_affine())
    coverage = to_ellipse_coverage(on_grid, INPUT.height_px, INPUT.width_px)
    return torch.from_numpy(network_input[0]), torch.from_numpy(coverage)[None]


def draw_addresses(
    images: Sequence[HC18Image],
    *,
    seed: int,
    epoch: int,
    small_head_weight: float,
    large_head_weight: float,
) -> list[tuple[int, int]]:
    """Draw one epoch: as many examples as images, small and large heads more often.

    The images are drawn by systematic resampling: an image with the expected count w occurs
    floor(w) or ceil(w) times. The order is random.

    Parameters
    ----------
    images : sequence of HC18Image
    seed, epoch : int
        Together they determine the result.
    small_head_weight, large_head_weight : float
        Sampling weight of heads below 100 mm, and of at least 200 mm; other heads have 1.

    Returns
    -------
    list of (index, seed)
        Addresses for `HC18Dataset`.
    """
    generator = np.random.default_rng((seed, epoch))
    sizes_mm = np.array([image.head_circumference_mm for image in images])
    weights = np.ones(len(images))
    weights[sizes_mm < 100] = small_head_weight
    weights[sizes_mm >= 200] = large_head_weight
    edges = np.cumsum(weights) / weights.sum() * len(images)
    indices = np.searchsorted(edges, np.arange(len(images)) + generator.random())
    generator.shuffle(indices)
    seeds = generator.integers(0, 2**31, len(images))
    return [(int(index), int(seed)) for index, seed in zip(indices, seeds, strict=True)]
