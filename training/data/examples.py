"""Provide all training images as examples on canvases, and draw the examples of an epoch.

Labelled HC18 frames, heads from other devices, planes without a head and HC18's unlabelled frames
are drawn in fixed shares. All randomness comes from seeds, so an address always gives the same
example.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from headcirc.geometry import Ellipse
from training.augmentation.examples import (
    NARROW,
    AugmentationRanges,
    change_grey_values,
    to_example,
)
from training.augmentation.head_swap import are_alike, is_whole, paste_head
from training.data.canvas import GRID, load_canvases, to_ellipse_on_canvas, to_jpeg_copy
from training.data.hc18 import HC18Image, load_pixels, to_true_ellipse
from training.data.negatives import draw_negative
from training.data.planes import HEAD, Plane

LABELLED, FOREIGN_HEAD, NO_HEAD, UNLABELLED = "hc18", "foreign-head", "no-head", "unlabelled"
SOURCES = (LABELLED, FOREIGN_HEAD, NO_HEAD, UNLABELLED)
UNLABELLED_FOLDER = "test_set"
OUTER_EDGE_FACTOR = 1.015
"""Scale of annotated ellipses from other devices to the skull's outer edge: their median lies
1.5 % inside it."""
SMALL_MM, LARGE_MM = 100.0, 200.0
DONOR_DRAWS = 20


@dataclass(frozen=True)
class Example:
    """One training image.

    Attributes
    ----------
    name : str
        File name inside its data set.
    source : str
        One of `SOURCES`.
    ellipse : Ellipse or None
        Annotated ellipse, in canvas pixels.
    head_circumference_mm : float or None
        Only for HC18's labelled frames.
    """

    name: str
    source: str
    ellipse: Ellipse | None = None
    head_circumference_mm: float | None = None

    @property
    def is_head_plane(self) -> bool:
        """Return whether the image shows a head; every image of HC18 does."""
        return self.source != NO_HEAD


@dataclass(frozen=True)
class Mixture:
    """Shares and sampling weights of an epoch's examples.

    Attributes
    ----------
    foreign_share, no_head_share, unlabelled_share : float
        Examples of each source in an epoch, as a share of the number of HC18's labelled ones.
    small_head_weight, large_head_weight : float
        Sampling weight of labelled heads below 100 mm, and of at least 200 mm; others have 1.
    synthetic_share : float
        Share of the labelled examples that become images without a head (`negatives`).
    jpeg_share : float
        Share of HC18's frames with JPEG compression, so that sharpness does not reveal the source.
    """

    foreign_share: float = 0.15
    no_head_share: float = 0.35
    unlabelled_share: float = 0.0
    small_head_weight: float = 3.0
    large_head_weight: float = 1.5
    synthetic_share: float = 0.04
    jpeg_share: float = 0.3


@dataclass(frozen=True)
class Pool:
    """Examples and their canvases, in the same order."""

    examples: list[Example]
    canvases: NDArray[np.uint8]

    def select(self, indices: Sequence[int]) -> "Pool":
        """Return a pool of the examples at some indices; canvases are copied into memory."""
        return Pool([self.examples[i] for i in indices], self.canvases[list(indices)])


def load_pool(
    images: Sequence[HC18Image], planes: Sequence[Plane], unlabelled: Sequence[Path], cache: Path
) -> Pool:
    """Read all images of a run as canvases; `cache` is the folder of the cache file."""
    paths = [each.path for each in images] + [each.path for each in planes] + list(unlabelled)
    canvases, shapes = load_canvases(paths, cache)
    examples = []
    for image, shape in zip(images, shapes, strict=False):
        outline = to_true_ellipse(load_pixels(image.annotation_path))
        on_canvas = to_ellipse_on_canvas(outline, shape)
        examples.append(Example(image.name, LABELLED, on_canvas, image.head_circumference_mm))
    for plane, shape in zip(planes, shapes[len(images) :], strict=False):
        ellipse = plane.ellipse and to_ellipse_on_canvas(plane.ellipse, shape)
        source = FOREIGN_HEAD if plane.kind == HEAD else NO_HEAD
        examples.append(Example(plane.file, source, ellipse))
    examples += [Example(f"{path.parent.name}/{path.name}", UNLABELLED) for path in unlabelled]
    return Pool(examples, canvases)


def find_unlabelled(hc18_dir: Path) -> list[Path]:
    """Return HC18's frames without annotations, sorted by name."""
    return sorted((hc18_dir / UNLABELLED_FOLDER).glob("*_*HC.png"))


class Examples(Dataset[dict[str, Tensor]]):
    """Augmented examples. The address (index, seed) always gives the same example.

    Parameters
    ----------
    pool : Pool
    mixture : Mixture
    pseudo_labelled : set of str
        Names of the foreign and unlabelled examples with a pseudo-label of the teacher.
    annotation_weight : float
        Weight of the annotation on labelled frames; the teacher has 1 minus it. 1 without a
        teacher.
    foreign_weight : float
        Weight of the annotated ellipse of foreign heads, which is not an exact label.
    ranges : AugmentationRanges
    """

    def __init__(
        self,
        pool: Pool,
        mixture: Mixture,
        *,
        pseudo_labelled: frozenset[str] = frozenset(),
        annotation_weight: float = 1.0,
        foreign_weight: float = 0.2,
        ranges: AugmentationRanges | None = None,
    ) -> None:
        self.pool = pool
        self.mixture = mixture
        self.pseudo_labelled = pseudo_labelled
        self.annotation_weight = annotation_weight
        self.foreign_weight = foreign_weight
        self.ranges = ranges or AugmentationRanges()
        self.labelled = [i for i, each in enumerate(pool.examples) if each.source == LABELLED]

    def narrowed(self) -> "Examples":
        """Return the same examples with milder augmentation, for a run's last epochs."""
        return Examples(
            self.pool,
            self.mixture,
            pseudo_labelled=self.pseudo_labelled,
            annotation_weight=self.annotation_weight,
            foreign_weight=self.foreign_weight,
            ranges=NARROW,
        )

    def __len__(self) -> int:
        return len(self.pool.examples)

    def __getitem__(self, address: tuple[int, int]) -> dict[str, Tensor]:
        """Return the tensors of one example.

        Returns
        -------
        dict of Tensor
            `network_input` and `coverage`, each (1, h, w) float32; `plane_label`, (1,);
            `annotation_weight` and `teacher_weight`, the scalar weights of the coverage and of the
            teacher's prediction in the mask loss.
        """
        index, seed = address
        example = self.pool.examples[index]
        generator = np.random.default_rng((seed, index))
        if example.source == LABELLED and generator.random() < self.mixture.synthetic_share:
            assert example.ellipse is not None
            picture = draw_negative(self.pool.canvases[index], example.ellipse, GRID, generator)
            grey = change_grey_values(picture, self.ranges, generator)
            return _to_item(grey, np.zeros_like(grey), 0.0, 1.0, 0.0)
        grey, coverage = self._augment(index, generator)
        annotation_weight, teacher_weight = self._to_weights(example)
        plane_label = float(example.is_head_plane)
        return _to_item(grey, coverage, plane_label, annotation_weight, teacher_weight)

    def _augment(
        self, index: int, generator: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        example, canvas = self.pool.examples[index], self.pool.canvases[index]
        if example.source == LABELLED and generator.random() < self.ranges.swap_probability:
            canvas = self._swap_head(index, generator)
        is_hc18 = example.source in (LABELLED, UNLABELLED)
        if is_hc18 and generator.random() < self.mixture.jpeg_share:
            canvas = to_jpeg_copy(canvas, generator)
        ellipse = example.ellipse
        if ellipse is not None and example.source == FOREIGN_HEAD:
            ellipse = _to_outer_edge(ellipse)
        return to_example(
            canvas,
            ellipse,
            facts=GRID,
            ranges=self.ranges,
            generator=generator,
            frame_pixel_aspect=GRID.pixel_aspect,
        )

    def _to_weights(self, example: Example) -> tuple[float, float]:
        """Return the weights of the annotation and of the teacher in the mask loss."""
        if example.source == NO_HEAD:
            return 1.0, 0.0
        if example.source == LABELLED:
            return self.annotation_weight, 1 - self.annotation_weight
        if example.name in self.pseudo_labelled:
            return 0.0, 1.0
        if self.annotation_weight == 1 and example.ellipse is not None:
            return self.foreign_weight, 0.0
        return 0.0, 0.0

    def _swap_head(self, index: int, generator: np.random.Generator) -> NDArray[np.uint8]:
        """Replace a canvas's head by one of similar size from another, if one is found."""
        own, canvas = self.pool.examples[index], self.pool.canvases[index]
        for place in generator.integers(len(self.labelled), size=DONOR_DRAWS):
            donor = self.labelled[place]
            other, other_canvas = self.pool.examples[donor], self.pool.canvases[donor]
            if donor != index and _can_donate(own, other, other_canvas):
                return paste_head(canvas, own.ellipse, other_canvas, other.ellipse, generator)
        return canvas


def _can_donate(own: Example, other: Example, canvas: NDArray[np.uint8]) -> bool:
    alike = are_alike(own.head_circumference_mm, other.head_circumference_mm)
    return alike and is_whole(canvas, other.ellipse)


def _to_outer_edge(ellipse: Ellipse) -> Ellipse:
    return replace(
        ellipse,
        semi_axis_major_px=OUTER_EDGE_FACTOR * ellipse.semi_axis_major_px,
        semi_axis_minor_px=OUTER_EDGE_FACTOR * ellipse.semi_axis_minor_px,
    )


def _to_item(
    grey: NDArray[np.float32],
    coverage: NDArray[np.float32],
    plane_label: float,
    annotation_weight: float,
    teacher_weight: float,
) -> dict[str, Tensor]:
    network_input = ((grey - GRID.mean) / GRID.standard_deviation).astype(np.float32)
    return {
        "network_input": torch.from_numpy(network_input)[None],
        "coverage": torch.from_numpy(coverage)[None],
        "plane_label": torch.tensor([plane_label]),
        "annotation_weight": torch.tensor(annotation_weight),
        "teacher_weight": torch.tensor(teacher_weight),
    }


def draw_epoch(
    examples: Sequence[Example], mixture: Mixture, *, seed: int, epoch: int
) -> list[tuple[int, int]]:
    """Draw the addresses (index, seed) of one epoch, shuffled.

    Each source has its share of the epoch. Within a source, images are drawn by systematic
    resampling: an image with the expected count w occurs floor(w) or ceil(w) times.
    """
    generator = np.random.default_rng((seed, epoch))
    sources = np.array([example.source for example in examples])
    labelled = int(np.count_nonzero(sources == LABELLED))
    shares = {
        LABELLED: 1.0,
        FOREIGN_HEAD: mixture.foreign_share,
        NO_HEAD: mixture.no_head_share,
        UNLABELLED: mixture.unlabelled_share,
    }
    drawn = []
    for source, share in shares.items():
        members = generator.permutation(np.flatnonzero(sources == source))
        count = round(share * labelled)
        if members.size == 0 or count == 0:
            continue
        weights = np.array([_to_draw_weight(examples[i], mixture) for i in members])
        edges = np.cumsum(weights) / weights.sum() * count
        places = np.searchsorted(edges, np.arange(count) + generator.random())
        drawn.append(members[np.minimum(places, members.size - 1)])
    indices = generator.permutation(np.concatenate(drawn))
    seeds = generator.integers(0, 2**31, indices.size)
    return [(int(index), int(each)) for index, each in zip(indices, seeds, strict=True)]


def _to_draw_weight(example: Example, mixture: Mixture) -> float:
    size_mm = example.head_circumference_mm
    if size_mm is None:
        return 1.0
    if size_mm < SMALL_MM:
        return mixture.small_head_weight
    return mixture.large_head_weight if size_mm >= LARGE_MM else 1.0
