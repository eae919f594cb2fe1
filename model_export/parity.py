"""Compare the exported graph with torch, and one precision with another.

Probabilities and circumferences (mm) are compared, with test-time augmentation as in the service.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from headcirc.backends import Backend
from headcirc.backends.base import SAME_ANSWERS_95TH_PERCENTILE_MM, SAME_ANSWERS_LARGEST_MM
from headcirc.geometry import PixelSpacing
from headcirc.pipeline import Pipeline, Prepared
from headcirc.quality.augmentation import infer_with_augmentation

Array = NDArray[np.float32]
MAXIMUM_PROBABILITY_DIFFERENCE = 1e-4
MAXIMUM_HEAD_CIRCUMFERENCE_DIFFERENCE_MM = 0.01


class ParityError(Exception):
    """The exported graph differs from its source by more than is allowed."""


@dataclass(frozen=True)
class Differences:
    """Differences over a number of pictures."""

    images: int

    def to_facts(self) -> dict[str, float]:
        """Return the figures by name, for the manifest."""
        return asdict(self)


@dataclass(frozen=True)
class Parity(Differences):
    """Largest differences from torch."""

    probability_difference: float
    head_circumference_difference_mm: float


def to_torch_runner(network: nn.Module) -> Callable[[Array], Array]:
    """Return a function like a backend's `infer`, (n, 1, h, w) to (n, h, w), that uses torch."""

    @torch.no_grad()
    def run(network_input: Array) -> Array:
        probabilities: Array = torch.sigmoid(network(torch.from_numpy(network_input)))[:, 0].numpy()
        return probabilities

    return run


def measure_parity(
    network: nn.Module, pipeline: Pipeline, pictures: list[tuple[Path, PixelSpacing]]
) -> Parity:
    """Run torch and the pipeline's backend on the same pictures.

    Parameters
    ----------
    network : torch module
        Returns logits (n, 1, h, w).
    pipeline : Pipeline
        Pipeline of the exported graph.
    pictures : list of (path, spacing)

    Raises
    ------
    ParityError
        A probability differs by more than 1e-4, a circumference by more than 0.01 mm, or only one
        of the two finds a head.
    """
    run_torch = to_torch_runner(network)
    facts = pipeline.manifest.mask
    differences, differences_mm = [], []
    for path, spacing in tqdm(pictures, "parity"):
        prepared = pipeline.prepare(path.read_bytes(), pixel_spacing=spacing)
        reference = infer_with_augmentation(run_torch, prepared.network_input, facts)[0]
        exported = pipeline.infer(prepared.network_input)[0]
        differences.append(np.abs(exported - reference).max())
        differences_mm.append(_to_difference_mm(pipeline, prepared, (exported, reference)))
    parity = Parity(len(pictures), float(np.max(differences)), max(differences_mm))
    # The negated form also refuses NaN.
    if not (
        parity.probability_difference <= MAXIMUM_PROBABILITY_DIFFERENCE
        and parity.head_circumference_difference_mm <= MAXIMUM_HEAD_CIRCUMFERENCE_DIFFERENCE_MM
    ):
        raise ParityError(
            f"The exported graph differs from torch: {parity}; allowed are "
            f"{MAXIMUM_PROBABILITY_DIFFERENCE} in probability and "
            f"{MAXIMUM_HEAD_CIRCUMFERENCE_DIFFERENCE_MM} mm."
        )
    return parity


@dataclass(frozen=True)
class Agreement(Differences):
    """Differences in circumference between two engines."""

    difference_95th_percentile_mm: float
    largest_difference_mm: float


def measure_agreement(
    reference: Pipeline, candidate: Backend, pictures: list[tuple[Path, PixelSpacing]]
) -> Agreement:
    """Run two engines on the same pictures.

    Parameters
    ----------
    reference : Pipeline
        Around ONNX Runtime FP32.
    candidate : Backend
        Of the same weights in another engine or precision.
    pictures : list of (path, spacing)

    Raises
    ------
    ParityError
        The circumference differs by more than 0.5 mm at the 95th percentile or 2 mm at most, or
        only one of the two finds a head.
    """
    pipelines = (replace(reference, backend=candidate), reference)
    differences_mm = []
    for path, spacing in tqdm(pictures, f"{candidate.name} {candidate.precision}"):
        prepared = reference.prepare(path.read_bytes(), pixel_spacing=spacing)
        maps = tuple(each.infer(prepared.network_input)[0] for each in pipelines)
        differences_mm.append(_to_difference_mm(reference, prepared, maps))
    # No interpolation, so that an infinite difference stays infinite.
    percentile_mm = float(np.percentile(differences_mm, 95, method="higher"))
    agreement = Agreement(len(pictures), percentile_mm, max(differences_mm))
    if (
        percentile_mm > SAME_ANSWERS_95TH_PERCENTILE_MM
        or agreement.largest_difference_mm > SAME_ANSWERS_LARGEST_MM
    ):
        raise ParityError(
            f"{candidate.name} {candidate.precision} differs too much from float32: "
            f"{agreement}; allowed are {SAME_ANSWERS_95TH_PERCENTILE_MM} mm at the 95th percentile "
            f"and {SAME_ANSWERS_LARGEST_MM} mm at most."
        )
    return agreement


def _to_difference_mm(
    pipeline: Pipeline, prepared: Prepared, probability_maps: tuple[np.ndarray, ...]
) -> float:
    """Return the difference in circumference in mm; infinite if only one map has a head."""
    sizes_mm = []
    for probability_map in probability_maps:
        head = pipeline.finish(prepared, probability_map).head
        known = head is not None and head.measurement is not None
        sizes_mm.append(head.measurement.head_circumference_mm if known else None)  # type: ignore[union-attr]
    first_mm, second_mm = sizes_mm
    if first_mm is None or second_mm is None:
        return 0.0 if first_mm is second_mm else float("inf")
    return abs(first_mm - second_mm)
