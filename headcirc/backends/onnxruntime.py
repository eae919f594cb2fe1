"""The network in ONNX Runtime, on the CPU."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headcirc.backends.base import Runtime
from headcirc.errors import BackendUnavailableError
from headcirc.model.graph import Graph

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

    def infer(self, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the network on (n, 1, h, w) and return probabilities (n, h, w)."""
        (probabilities,) = self.session.run(None, {"network_input": network_input})
        return np.asarray(probabilities)[:, 0]

    def infer_all(self, network_input: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run a network of several outputs; each is (n, 1, rows, columns), by its name."""
        names = [each.name for each in self.session.get_outputs()]
        outputs = self.session.run(names, {"network_input": network_input})
        return dict(zip(names, map(np.asarray, outputs), strict=True))


def load(
    graph: Graph,
    *,
    threads: int,
    optimisation: "onnxruntime.GraphOptimizationLevel | None" = None,
) -> OnnxRuntimeBackend:
    """Load the model with `threads` threads that sleep, not spin, when there is no work.

    By default every optimisation of the graph is on.
    """
    options = to_options(threads)
    if optimisation is not None:
        options.graph_optimization_level = optimisation
    session = open_session(graph, options, (PROVIDER, {}))
    return OnnxRuntimeBackend(session, graph.precision)


def to_options(threads: int) -> "onnxruntime.SessionOptions":
    """Return session options; every optimisation is on, as by ONNX Runtime's default."""
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
    """Load a graph on one provider, with its settings.

    Raises
    ------
    BackendUnavailableError
        ONNX Runtime took another provider, or refuses the graph.
    """
    import onnxruntime

    content = graph.read()
    try:
        session = onnxruntime.InferenceSession(content, options, providers=[provider])
    except Exception as error:  # its errors share no other base
        raise BackendUnavailableError(
            f"ONNX Runtime refuses {graph.path.name!r}; export the model again. It says: {error}"
        ) from error
    require_provider(session, provider[0])
    return session


def require_provider(session: Any, provider: str) -> None:
    """Refuse a session that does not run where it was asked to.

    Raises
    ------
    BackendUnavailableError
        Another provider comes first.
    """
    taken = session.get_providers()
    if taken[0] != provider:
        raise BackendUnavailableError(
            f"ONNX Runtime took {', '.join(taken)} where {provider} was asked for."
        )
