"""Compare the exported graph with torch, and one precision with another.

Probabilities of head pixels and of a head plane are compared, and circumferences (mm), with
test-time augmentation as in the service.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from headcirc.backends import Backend
from headcirc.backends.base import (
    SAME_ANSWERS_95TH_PERCENTILE_MM,
    SAME_ANSWERS_LARGEST_MM,
    SAME_HEAD_PLANE,
)
from headcirc.geometry import PixelSpacing
from headcirc.model.prediction import Prediction, to_predictions
from headcirc.pipeline import Pipeline, Prepared
from headcirc.quality.augmentation import RunNetwork, infer_with_augmentation
from model_export.onnx_graph import OUTPUT_NAMES, ProbabilityNetwork

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
    """Largest differences from torch; that of the head plane is 0 without such an output."""

    probability_difference: float
    head_circumference_difference_mm: float
    head_plane_difference: float


def to_torch_runner(network: nn.Module) -> RunNetwork:
    """Return a function like a backend's `infer` that runs a network of logits in torch."""
    probability_network = ProbabilityNetwork(network)

    @torch.no_grad()
    def run(network_input: Array) -> list[Prediction]:
        outputs = probability_network(torch.from_numpy(network_input))
        named = zip(OUTPUT_NAMES[: len(outputs)], outputs, strict=True)
        return to_predictions({name: each.numpy() for name, each in named})

    return run


def measure_parity(
    network: nn.Module, pipeline: Pipeline, pictures: list[tuple[Path, PixelSpacing]]
) -> Parity:
    """Run torch and the pipeline's backend on the same pictures.

    Parameters
    ----------
    network : torch module
        Returns logits (n, 1, h, w), or these and head-plane logits (n, 1).
    pipeline : Pipeline
        Pipeline of the exported graph.
    pictures : list of (path, spacing)

    Raises
    ------
    ParityError
        A probability differs by more than 1e-4, a circumference by more than 0.01 mm, or only one
        of the two finds a head or has a head-plane output.
    """
    run_torch = to_torch_runner(network)
    differences, plane_differences, differences_mm = [], [], []
    for path, spacing in tqdm(pictures, "parity"):
        prepared = pipeline.prepare(path.read_bytes(), pixel_spacing=spacing)
        (reference,) = infer_with_augmentation(run_torch, prepared.network_input, pipeline.manifest)
        (exported,) = pipeline.infer(prepared.network_input)
        differences.append(to_probability_difference(exported, reference))
        plane_differences.append(to_head_plane_difference(exported, reference))
        differences_mm.append(_to_difference_mm(pipeline, prepared, (exported, reference)))
    parity = Parity(len(pictures), max(differences), max(differences_mm), max(plane_differences))
    # The negated form also refuses NaN.
    if not (
        parity.probability_difference <= MAXIMUM_PROBABILITY_DIFFERENCE
        and parity.head_plane_difference <= MAXIMUM_PROBABILITY_DIFFERENCE
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
    """Differences in circumference and head-plane probability between two engines."""

    difference_95th_percentile_mm: float
    largest_difference_mm: float
    head_plane_difference: float


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
        The circumference differs by more than 0.5 mm at the 95th percentile or 2 mm at most, only
        one of the two finds a head, or the head-plane probability differs by more than 0.05.
    """
    pipelines = (replace(reference, backend=candidate), reference)
    differences_mm, plane_differences = [], []
    for path, spacing in tqdm(pictures, f"{candidate.name} {candidate.precision}"):
        prepared = reference.prepare(path.read_bytes(), pixel_spacing=spacing)
        first, second = (each.infer(prepared.network_input)[0] for each in pipelines)
        differences_mm.append(_to_difference_mm(reference, prepared, (first, second)))
        plane_differences.append(to_head_plane_difference(first, second))
    # No interpolation, so that an infinite difference stays infinite.
    percentile_mm = float(np.percentile(differences_mm, 95, method="higher"))
    agreement = Agreement(len(pictures), percentile_mm, max(differences_mm), max(plane_differences))
    if (
        percentile_mm > SAME_ANSWERS_95TH_PERCENTILE_MM
        or agreement.largest_difference_mm > SAME_ANSWERS_LARGEST_MM
        or agreement.head_plane_difference > SAME_HEAD_PLANE
    ):
        raise ParityError(
            f"{candidate.name} {candidate.precision} differs too much from float32: "
            f"{agreement}; allowed are {SAME_ANSWERS_95TH_PERCENTILE_MM} mm at the 95th "
            f"percentile, {SAME_ANSWERS_LARGEST_MM} mm at most, and {SAME_HEAD_PLANE} in the "
            "head-plane probability."
        )
    return agreement


def to_probability_difference(first: Prediction, second: Prediction) -> float:
    """Return the largest difference of the probability maps."""
    return float(np.abs(first.probability_map - second.probability_map).max())


def to_head_plane_difference(first: Prediction, second: Prediction) -> float:
    """Return the difference of the head-plane probabilities.

    It is 0 without such an output, and infinite if only one prediction has it.
    """
    planes = first.head_plane_probability, second.head_plane_probability
    if None in planes:
        return 0.0 if planes == (None, None) else float("inf")
    return abs(planes[0] - planes[1])  # type: ignore[operator]


def _to_difference_mm(
    pipeline: Pipeline, prepared: Prepared, predictions: tuple[Prediction, Prediction]
) -> float:
    """Return the difference in circumference in mm; infinite if only one finds a head."""
    sizes_mm = []
    for prediction in predictions:
        head = pipeline.finish(prepared, prediction).head
        known = head is not None and head.measurement is not None
        sizes_mm.append(head.measurement.head_circumference_mm if known else None)  # type: ignore[union-attr]
    first_mm, second_mm = sizes_mm
    if first_mm is None or second_mm is None:
        return 0.0 if first_mm is second_mm else float("inf")
    return abs(first_mm - second_mm)
