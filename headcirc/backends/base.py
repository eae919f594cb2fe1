"""What a backend is, and which one runs here.

`auto` takes the first backend whose runtime is installed, in a fixed order and without a race;
what was chosen and why is told. A backend that was asked for by name and cannot run is an error:
nothing falls back in silence.
"""

import importlib
from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from headcirc.errors import BackendUnavailableError, ModelArtifactError
from headcirc.manifest import Graph, Manifest

MODULES = {"openvino": "openvino", "onnxruntime": "onnxruntime"}
"""Backend to the runtime that it needs, in `auto`'s order: OpenVINO is the faster one on CPUs."""
PRECISIONS = {"openvino": ("int8", "fp32"), "onnxruntime": ("int8", "fp32")}
"""Backend to the precisions that it runs, in `auto`'s order: the fastest first."""


class Backend(Protocol):
    """A loaded network.

    Attributes
    ----------
    name : str
        `openvino` or `onnxruntime`.
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


def load_backend(
    name: str, manifest: Manifest, *, threads: int, precision: str = "auto"
) -> Backend:
    """Load a model into a runtime.

    Parameters
    ----------
    name : str
        `auto`, `openvino` or `onnxruntime`.
    manifest : Manifest
    threads : int
        CPUs that the runtime may use.
    precision : str
        `auto` takes the fastest that the model ships for this backend.

    Raises
    ------
    BackendUnavailableError
        Unknown name, or the runtime is not installed or refuses the model.
    ModelArtifactError
        The model does not ship that precision, or its file is missing or damaged.
    """
    _require_one_onnxruntime()
    chosen = _choose(name)
    module = importlib.import_module(f"headcirc.backends.{chosen}")
    graph = choose_graph(manifest, chosen, precision)
    backend: Backend = module.load(graph, threads=threads)
    return backend


def choose_graph(manifest: Manifest, backend: str, precision: str) -> Graph:
    """Return the form of the network that a backend runs.

    Raises
    ------
    BackendUnavailableError
        The backend does not run that precision.
    ModelArtifactError
        The model does not ship it.
    """
    runs = PRECISIONS[backend]
    if precision not in ("auto", *runs):
        raise BackendUnavailableError(
            f"The backend {backend!r} does not run {precision!r}; it runs {', '.join(runs)}."
        )
    wanted = runs if precision == "auto" else (precision,)
    shipped = [each for each in wanted if each in manifest.graphs]
    if not shipped:
        raise ModelArtifactError(
            f"The model {manifest.name!r} ships {', '.join(manifest.graphs)}, not "
            f"{' or '.join(wanted)}; export it again."
        )
    return manifest.graphs[shipped[0]]


def _choose(name: str) -> str:
    installed = [each for each, module in MODULES.items() if find_spec(module)]
    if name == "auto" and installed:
        return installed[0]
    if name in installed:
        return name
    if name != "auto" and name not in MODULES:
        known = ", ".join(["auto", *MODULES])
        raise BackendUnavailableError(f"The backend {name!r} is unknown; known are {known}.")
    wanted = "No runtime is installed" if name == "auto" else f"The runtime {name!r} is missing"
    raise BackendUnavailableError(f"{wanted}; install one with: pip install 'headcirc[cpu]'")


def _require_one_onnxruntime() -> None:
    """Refuse two ONNX Runtimes side by side: the pair silently runs on the CPU."""
    from importlib.metadata import packages_distributions

    owners = set(packages_distributions().get("onnxruntime", []))
    if len(owners) > 1:
        raise BackendUnavailableError(
            f"Both {' and '.join(sorted(owners))} are installed; together they silently run on "
            "the CPU. Uninstall one of them."
        )
