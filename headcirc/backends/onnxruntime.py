"""Run the network with ONNX Runtime on the CPU."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headcirc.backends.base import Runtime
from headcirc.errors import BackendUnavailableError
from headcirc.model.graph import Graph
from headcirc.model.prediction import Prediction, to_predictions

if TYPE_CHECKING:
    import onnxruntime

RUNTIME = Runtime("onnxruntime", ("onnxruntime",), extra="cpu", precisions=("int8", "fp32"))
PROVIDER = "CPUExecutionProvider"


@dataclass
class OnnxRuntimeBackend:
    """See `headcirc.backends.base.Backend`."""

    session: "onnxruntime.InferenceSession"
    precision: str
    name: str = "onnxruntime"
    device: str = "cpu"

    def infer(self, network_input: NDArray[np.float32]) -> list[Prediction]:
        """Run the network on (n, 1, h, w) and return n predictions."""
        return to_predictions(self.infer_all(network_input))

    def infer_all(self, network_input: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the graph and return all its outputs by name."""
        names = [each.name for each in self.session.get_outputs()]
        outputs = self.session.run(names, {"network_input": network_input})
        return dict(zip(names, map(np.asarray, outputs), strict=True))


def load(
    graph: Graph,
    *,
    threads: int,
    optimisation: "onnxruntime.GraphOptimizationLevel | None" = None,
) -> OnnxRuntimeBackend:
    """Load the model.

    Parameters
    ----------
    graph : Graph
    threads : int
        Threads of the runtime. Idle threads sleep instead of spinning.
    optimisation : GraphOptimizationLevel, optional
        By default, all graph optimisations are on.

    Raises
    ------
    BackendUnavailableError
        ONNX Runtime refuses the graph.
    ModelArtifactError
        The graph's file is missing or damaged.
    """
    options = to_options(threads)
    if optimisation is not None:
        options.graph_optimization_level = optimisation
    session = open_session(graph, options, (PROVIDER, {}))
    return OnnxRuntimeBackend(session, graph.precision)


def to_options(threads: int) -> "onnxruntime.SessionOptions":
    """Return session options; all graph optimisations are on, ONNX Runtime's default."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def open_session(
    graph: Graph, options: "onnxruntime.SessionOptions", provider: tuple[str, dict[str, str]]
) -> "onnxruntime.InferenceSession":
    """Load a graph with one execution provider and its settings.

    Raises
    ------
    BackendUnavailableError
        ONNX Runtime chose another provider, or refuses the graph.
    """
    import onnxruntime

    content = graph.read()
    try:
        session = onnxruntime.InferenceSession(content, options, providers=[provider])
    except Exception as error:  # its errors have no narrower common base
        raise BackendUnavailableError(
            f"ONNX Runtime refuses {graph.path.name!r}: {error} Export the model again."
        ) from error
    require_provider(session, provider[0])
    return session


def require_provider(session: Any, provider: str) -> None:
    """Check that a session runs on the requested provider.

    Raises
    ------
    BackendUnavailableError
        The session's first provider is another one.
    """
    taken = session.get_providers()
    if taken[0] != provider:
        raise BackendUnavailableError(
            f"ONNX Runtime chose {', '.join(taken)} instead of the requested {provider}."
        )
