"""The network in OpenVINO, on the CPU."""

from dataclasses import dataclass, field
from functools import cache
from threading import local
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headcirc.backends.base import Runtime
from headcirc.errors import BackendUnavailableError
from headcirc.model.graph import Graph

if TYPE_CHECKING:
    import openvino

RUNTIME = Runtime("openvino", ("openvino",), extra="cpu", precisions=("int8", "fp32"))


@dataclass
class OpenVinoBackend:
    """See `headcirc.backends.base.Backend`."""

    compiled: "openvino.CompiledModel"
    precision: str
    name: str = field(default="openvino", init=False)
    device: str = field(default="cpu", init=False)
    _of_thread: local = field(default_factory=local, init=False, repr=False)

    def infer(self, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the network on (n, 1, h, w) and return probabilities (n, h, w).

        Every thread has a request of its own, so that threads do not share buffers; making one
        anew for each call would allocate them anew.
        """
        request = self._run(network_input)
        return np.array(request.get_output_tensor(0).data[:, 0])

    def infer_all(self, network_input: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run a network of several outputs; each is (n, 1, rows, columns), by its name."""
        request = self._run(network_input)
        return {
            each.get_any_name(): np.array(request.get_output_tensor(index).data)
            for index, each in enumerate(self.compiled.outputs)
        }

    def _run(self, network_input: NDArray[np.float32]) -> "openvino.InferRequest":
        if not hasattr(self._of_thread, "request"):
            self._of_thread.request = self.compiled.create_infer_request()
        request = self._of_thread.request
        request.infer({0: network_input}, share_inputs=True)
        return request


@cache
def _get_core() -> "openvino.Core":
    """Return the one core of this process, which lives as long as it.

    Each core of OpenVINO 2026.4 gives the thread a signal stack and puts the former one back at
    its end. When two overlap, the second puts back what the first has freed, and the next signal
    that Python handles there, SIGTERM for one, ends the process with SIGSEGV.
    """
    import openvino

    return openvino.Core()


def load(graph: Graph, *, threads: int) -> OpenVinoBackend:
    """Load the model with `threads` threads.

    Threads are not pinned, or several processes would meet on the same CPUs. What the graph has in
    float32 is held there; OpenVINO would otherwise shorten it where the CPU can.

    Raises
    ------
    BackendUnavailableError
        OpenVINO refuses the graph.
    """
    core = _get_core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    content = graph.read()
    try:
        compiled = core.compile_model(core.read_model(content, b""), "CPU", settings)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]  # above it, lines of its own source
        raise BackendUnavailableError(
            f"OpenVINO refuses {graph.path.name!r}; export the model again. It says: {reason}"
        ) from error
    return OpenVinoBackend(compiled, graph.precision)
