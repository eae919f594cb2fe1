"""List the backends, and choose the one that runs here.

`auto` chooses the first usable backend in a fixed order. A backend is usable if its runtime is
installed and its device is present. The log reports the choice and the reasons. A backend that is
requested by name and cannot run is an error: there is no silent fallback.
"""

import logging
from importlib.util import find_spec
from types import ModuleType

from headcirc.backends import onnxruntime, onnxruntime_cuda, openvino, tensorrt
from headcirc.backends.base import Backend, Runtime
from headcirc.errors import BackendUnavailableError, ModelArtifactError
from headcirc.model.graph import Graph
from headcirc.model.manifest import Manifest

logger = logging.getLogger("headcirc.backends")

BACKENDS: dict[str, ModuleType] = {
    each.RUNTIME.name: each for each in (tensorrt, openvino, onnxruntime, onnxruntime_cuda)
}
"""Name to module, in `auto`'s order: GPU first, then OpenVINO, the faster one on CPUs.

Each module has `RUNTIME`, its declaration, and `load(graph, *, threads)`. To add a runtime, write
its module and add it here.
"""
AUTOMATIC = tuple(name for name, each in BACKENDS.items() if each.RUNTIME.is_automatic)


def load_backend(
    name: str, manifest: Manifest, *, threads: int, precision: str = "auto"
) -> Backend:
    """Load a model into a runtime.

    Parameters
    ----------
    name : str
        `auto` or one of `BACKENDS`.
    manifest : Manifest
    threads : int
        CPUs that the runtime may use.
    precision : str
        `auto` chooses the fastest precision that the model ships for this backend.

    Raises
    ------
    BackendUnavailableError
        The name is unknown, the runtime is not installed or refuses the model, or there is no GPU.
    ModelArtifactError
        The model does not ship that precision, or its file is missing or damaged.
    """
    _require_one_onnxruntime()
    chosen = choose_backend(name)
    return _load(chosen, choose_graph(manifest, chosen, precision), threads)


def load_shared_backend(
    loaded: Backend, manifest: Manifest, *, threads: int, sharers: int
) -> Backend | None:
    """Load a backend again, for several inferences at the same time.

    Parameters
    ----------
    loaded : Backend
        Of this model; the answers are the same.
    manifest : Manifest
    threads : int
        CPUs that the runtime may use.
    sharers : int
        How many inferences run at the same time.

    Returns
    -------
    Backend or None
        None if this runtime gains nothing by it.
    """
    if loaded.name != openvino.RUNTIME.name:
        return None
    graph = choose_graph(manifest, loaded.name, loaded.precision)
    return openvino.load(graph, threads=threads, streams=sharers)


def load_explain_backend(name: str, manifest: Manifest, *, threads: int) -> Backend:
    """Load a model's explain graph into a runtime: float32 on CPUs, float16 on a GPU.

    Parameters
    ----------
    name : str
        Name of the backend that measures. An 8-bit network has no gradient, so the float32 network
        that it was made from is explained.
    manifest : Manifest
    threads : int
        CPUs that the runtime may use.

    Raises
    ------
    BackendUnavailableError
        The name is unknown, the runtime is not installed or refuses the graph, or there is no GPU.
    ModelArtifactError
        The model ships no explain graph for this backend, or its file is missing or damaged.
    """
    require_usable(name)
    return _load(name, choose_explain_graph(manifest, name), threads)


def _load(name: str, graph: Graph, threads: int) -> Backend:
    backend: Backend = BACKENDS[name].load(graph, threads=threads)
    return backend


def choose_graph(manifest: Manifest, backend: str, precision: str) -> Graph:
    """Return the graph that a backend runs.

    Raises
    ------
    BackendUnavailableError
        The backend does not support that precision.
    ModelArtifactError
        The model does not ship that precision.
    """
    runs = BACKENDS[backend].RUNTIME.precisions
    if precision not in ("auto", *runs):
        raise BackendUnavailableError(
            f"The backend {backend!r} does not support {precision!r}. "
            f"It supports {', '.join(runs)}."
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
    """Return the explain graph that a backend runs.

    Raises
    ------
    ModelArtifactError
        The model ships no explain graph for this backend.
    """
    shipped = {} if manifest.explain is None else manifest.explain.graphs
    for precision in BACKENDS[backend].RUNTIME.precisions:
        if precision in shipped:
            return shipped[precision]
    raise ModelArtifactError(
        f"The model {manifest.name!r} ships no explain graph for {backend!r}; export it again."
    )


def choose_backend(name: str) -> str:
    """Return the name of the backend to load: `name` itself, or the choice of `auto`.

    Raises
    ------
    BackendUnavailableError
        The backend cannot run here. For `auto`: no backend can; the message gives each reason.
    """
    if name != "auto":
        require_usable(name)
        return name
    reasons = []
    for each in AUTOMATIC:
        try:
            require_usable(each)
        except BackendUnavailableError as reason:
            reasons.append(f"{each}: {reason}")
        else:
            logger.info("auto took %s. Passed over: %s", each, " ".join(reasons) or "none.")
            return each
    raise BackendUnavailableError(f"No backend can run here. {' '.join(reasons)}")


def require_usable(name: str) -> None:
    """Check that a backend's runtime and device are present, without loading anything.

    Raises
    ------
    BackendUnavailableError
        The name is unknown, the runtime is not installed, or the device is missing.
    """
    if name not in BACKENDS:
        known = ", ".join(["auto", *BACKENDS])
        raise BackendUnavailableError(f"The backend {name!r} is unknown; known are {known}.")
    runtime: Runtime = BACKENDS[name].RUNTIME
    if not any(find_spec(each) for each in runtime.packages):
        raise BackendUnavailableError(
            f"The runtime {runtime.packages[0]!r} is missing; install it with: "
            f"pip install 'headcirc[{runtime.extra}]'"
        )
    runtime.require_device()


def _require_one_onnxruntime() -> None:
    """Refuse two installed builds of ONNX Runtime: together they silently run on the CPU."""
    from importlib.metadata import packages_distributions

    owners = set(packages_distributions().get("onnxruntime", []))
    if len(owners) > 1:
        raise BackendUnavailableError(
            f"Both {' and '.join(sorted(owners))} are installed; together they silently run on "
            "the CPU. Uninstall one of them."
        )
