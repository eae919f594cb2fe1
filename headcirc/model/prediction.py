"""Define the network's outputs for one picture, and the names of these outputs in a graph."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PROBABILITY_OUTPUT = "probability_map"
HEAD_PLANE_OUTPUT = "head_plane_probability"
"""Names of the graph's outputs; a graph without the second one says nothing of the plane."""


@dataclass(frozen=True)
class Prediction:
    """The network's outputs for one picture.

    Attributes
    ----------
    probability_map : (height_px, width_px) float32 in [0, 1], network grid
        Probability that a pixel belongs to the head.
    head_plane_probability : float or None
        Probability that the picture shows a head plane; None if the network has no such output.
    """

    probability_map: NDArray[np.float32]
    head_plane_probability: float | None = None

    def is_finite(self) -> bool:
        """Return whether no value is NaN or infinity."""
        plane = self.head_plane_probability
        return bool(np.isfinite(self.probability_map).all()) and (
            plane is None or bool(np.isfinite(plane))
        )


def to_predictions(outputs: Mapping[str, NDArray[np.float32]]) -> list[Prediction]:
    """Return one prediction for each picture of a batch.

    Parameters
    ----------
    outputs : mapping
        By name: (n, 1, height_px, width_px) probabilities and, if the graph has this output,
        (n, 1) head-plane probabilities. Other outputs are ignored.
    """
    maps, planes = outputs[PROBABILITY_OUTPUT][:, 0], outputs.get(HEAD_PLANE_OUTPUT)
    if planes is None:
        return [Prediction(each) for each in maps]
    return [Prediction(each, float(plane[0])) for each, plane in zip(maps, planes, strict=True)]
