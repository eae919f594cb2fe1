"""What a backend is, and which one runs here.

`auto` takes the first backend that is usable, in a fixed order and without a race: its runtime is
installed and, for TensorRT, a GPU is really there. What was chosen and why is told. A backend that
was asked for by name and cannot run is an error: nothing falls back in silence.
"""

import importlib
import logging
from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from headcirc.backends.gpu import require_gpu
from headcirc.backends.tensorrt_builder import FLAVOURS
from headcirc.errors import BackendUnavailableError, ModelArtifactError
from headcirc.model.graph import Graph
from headcirc.model.manifest import Manifest

logger = logging.getLogger("headcirc.backends")

MODULES = {
    "tensorrt": FLAVOURS,
    "openvino": ("openvino",),
    "onnxruntime": ("onnxruntime",),
    "onnxruntime-cuda": ("onnxruntime",),
}
"""Backend to the runtimes of which it needs one."""
AUTO = ("tensorrt", "openvino", "onnxruntime")
"""`auto`'s order: a GPU first; OpenVINO is the faster one on CPUs."""
PRECISIONS = {
    "tensorrt": ("fp16", "fp32"),
    "openvino": ("int8", "fp32"),
    "onnxruntime": ("int8", "fp32"),
    "onnxruntime-cuda": ("fp16", "fp32"),
}
"""Backend to the precisions that it runs, in `auto`'s order: the fastest first."""
SAME_ANSWERS_95TH_PERCENTILE_MM, SAME_ANSWERS_LARGEST_MM = 0.5, 2.0
"""How far a circumference may differ, on any backend and precision, from ONNX Runtime's FP32."""


class Backend(Protocol):
    """A loaded network.

    Attributes
    ----------
    name : str
        One of `MODULES`.
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


def load_backend(
    name: str, manifest: Manifest, *, threads: int, precision: str = "auto"
) -> Backend:
    """Load a model into a runtime.

    Parameters
    ----------
    name : str
        `auto` or one of `MODULES`.
    manifest : Manifest
    threads : int
        CPUs that the runtime may use.
    precision : str
        `auto` takes the fastest that the model ships for this backend.

    Raises
    ------
    BackendUnavailableError
        Unknown name, the runtime is not installed or refuses the model, or there is no GPU.
    ModelArtifactError
        The model does not ship that precision, or its file is missing or damaged.
    """
    _require_one_onnxruntime()
    chosen = _choose(name)
    return _load(chosen, choose_graph(manifest, chosen, precision), threads)


def load_explain_backend(name: str, manifest: Manifest, *, threads: int) -> Backend:
    """Load a model's explain graph into a runtime: float32 on CPUs, float16 on a GPU.

    Parameters
    ----------
    name : str
        Of the backend that measures; an 8-bit network has no gradient, so its float32 origin is
        explained.
    manifest : Manifest
    threads : int
        CPUs that the runtime may use.

    Raises
    ------
    BackendUnavailableError
        Unknown name, the runtime is not installed or refuses the graph, or there is no GPU.
    ModelArtifactError
        The model ships no explain graph for this backend, or its file is missing or damaged.
    """
    require_usable(name)
    return _load(name, choose_explain_graph(manifest, name), threads)


def _load(name: str, graph: Graph, threads: int) -> Backend:
    module = importlib.import_module(f"headcirc.backends.{name.replace('-', '_')}")
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


def choose_explain_graph(manifest: Manifest, backend: str) -> Graph:
    """Return the form of the explain graph that a backend runs.

    Raises
    ------
    ModelArtifactError
        The model ships none.
    """
    shipped = {} if manifest.explain is None else manifest.explain.graphs
    for precision in PRECISIONS[backend]:
        if precision in shipped:
            return shipped[precision]
    raise ModelArtifactError(
        f"The model {manifest.name!r} ships no explain graph for {backend!r}; export it again."
    )


def _choose(name: str) -> str:
    if name != "auto":
        require_usable(name)
        return name
    reasons = []
    for each in AUTO:
        try:
            require_usable(each)
        except BackendUnavailableError as reason:
            reasons.append(f"{each}: {reason}")
        else:
            logger.info("auto took %s. Passed over: %s", each, " ".join(reasons) or "none.")
            return each
    raise BackendUnavailableError(f"No backend can run here. {' '.join(reasons)}")


def require_usable(name: str) -> None:
    """Refuse a backend that has no runtime here or, for TensorRT, no GPU. Nothing is loaded.

    Raises
    ------
    BackendUnavailableError
    """
    if name not in MODULES:
        known = ", ".join(["auto", *MODULES])
        raise BackendUnavailableError(f"The backend {name!r} is unknown; known are {known}.")
    if not any(find_spec(each) for each in MODULES[name]):
        extra = "gpu" if "fp16" in PRECISIONS[name] else "cpu"
        raise BackendUnavailableError(
            f"The runtime {MODULES[name][0]!r} is missing; install it with: "
            f"pip install 'headcirc[{extra}]'"
        )
    if name == "tensorrt":
        require_gpu()


def _require_one_onnxruntime() -> None:
    """Refuse two ONNX Runtimes side by side: the pair silently runs on the CPU."""
    from importlib.metadata import packages_distributions

    owners = set(packages_distributions().get("onnxruntime", []))
    if len(owners) > 1:
        raise BackendUnavailableError(
            f"Both {' and '.join(sorted(owners))} are installed; together they silently run on "
            "the CPU. Uninstall one of them."
        )
