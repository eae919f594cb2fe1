"""What a backend is: a loaded network, and what a runtime's module declares about itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SAME_ANSWERS_95TH_PERCENTILE_MM, SAME_ANSWERS_LARGEST_MM = 0.5, 2.0
"""How far a circumference may differ, on any backend and precision, from ONNX Runtime's FP32."""


def _need_nothing() -> None:
    """Accept any machine."""


@dataclass(frozen=True)
class Runtime:
    """What a backend's module declares, without importing its runtime.

    Attributes
    ----------
    name : str
        As callers and settings name the backend.
    packages : tuple of str
        Import names; one of them must be installed.
    extra : str
        The extra of `headcirc` that installs the first of them.
    precisions : tuple of str
        That it runs, in `auto`'s order: the fastest first.
    is_automatic : bool
        Whether `auto` considers it.
    require_device : callable
        Raises `BackendUnavailableError` where its device is missing.
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
        Of the arithmetic, for example `fp32`.
    device : str
        What it runs on, in words.
    """

    name: str
    precision: str
    device: str

    def infer(self, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the network; safe to call from several threads.

        Parameters
        ----------
        network_input : (n, 1, height_px, width_px) float32, network grid

        Returns
        -------
        (n, height_px, width_px) float32 in [0, 1], network grid
            Probability that a pixel belongs to the head.
        """

    def infer_all(self, network_input: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run a network of several outputs, such as an explain graph; also safe with threads.

        Parameters
        ----------
        network_input : (n, 1, height_px, width_px) float32, network grid

        Returns
        -------
        dict of (n, 1, rows, columns) float32
            By the name of the graph's output; each has a grid of its own.
        """
