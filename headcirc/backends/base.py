"""Define the backend protocol, and the declaration that each runtime's module makes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from headcirc.model.prediction import Prediction

SAME_ANSWERS_95TH_PERCENTILE_MM, SAME_ANSWERS_LARGEST_MM = 0.5, 2.0
"""Allowed difference of a circumference, in any backend and precision, from ONNX Runtime FP32."""
SAME_HEAD_PLANE = 0.05
"""Allowed difference of the head-plane probability, from the same reference."""


def _need_nothing() -> None:
    """Accept every machine: this runtime needs no special device."""


@dataclass(frozen=True)
class Runtime:
    """Declaration of a backend's module, available without importing the runtime.

    Attributes
    ----------
    name : str
        Name of the backend in settings and calls.
    packages : tuple of str
        Import names of the runtime; at least one of them must be installed.
    extra : str
        The extra of `headcirc` that installs the first package.
    precisions : tuple of str
        Supported precisions, fastest first; `auto` chooses in this order.
    is_automatic : bool
        Whether `auto` considers this backend.
    require_device : callable
        Raises `BackendUnavailableError` if the device is missing.
    """

    name: str
    packages: tuple[str, ...]
    extra: str
    precisions: tuple[str, ...]
    is_automatic: bool = True
    require_device: Callable[[], object] = _need_nothing


class Backend(Protocol):
    """A loaded network.

    Attributes
    ----------
    name : str
        One of `headcirc.backends.registry.BACKENDS`.
    precision : str
        Precision of the graph, for example `fp32`.
    device : str
        Description of the device, for example `cpu`.
    """

    name: str
    precision: str
    device: str

    def infer(self, network_input: NDArray[np.float32]) -> list[Prediction]:
        """Run the network; safe to call from several threads.

        Parameters
        ----------
        network_input : (n, 1, height_px, width_px) float32, network grid

        Returns
        -------
        list of Prediction
            One for each picture.
        """

    def infer_all(self, network_input: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run a graph with any outputs, such as an explain graph; also thread-safe.

        Parameters
        ----------
        network_input : (n, 1, height_px, width_px) float32, network grid

        Returns
        -------
        dict of (n, 1, rows, columns) or (n, 1) float32
            Values by the name of the graph's output; each map has its own grid size.
        """
