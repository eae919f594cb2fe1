"""The network in ONNX Runtime, on the CPU."""

from dataclasses import dataclass, field

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from headcirc.errors import BackendUnavailableError
from headcirc.manifest import Graph

PROVIDER = "CPUExecutionProvider"


@dataclass
class OnnxRuntimeBackend:
    """See `headcirc.backends.base.Backend`."""

    session: onnxruntime.InferenceSession
    precision: str
    name: str = field(default="onnxruntime", init=False)
    device: str = field(default="cpu", init=False)

    def infer(self, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the network on (n, 1, h, w) and return probabilities (n, h, w)."""
        (probabilities,) = self.session.run(None, {"network_input": network_input})
        return np.asarray(probabilities)[:, 0]


def load(graph: Graph, *, threads: int) -> OnnxRuntimeBackend:
    """Load the model with `threads` threads that sleep, not spin, when there is no work."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph.read(), options, providers=[PROVIDER])
    if session.get_providers() != [PROVIDER]:
        raise BackendUnavailableError(
            f"ONNX Runtime took {session.get_providers()} where {PROVIDER} was asked for."
        )
    return OnnxRuntimeBackend(session, graph.precision)
