"""Run the network with OpenVINO on the CPU."""

from dataclasses import dataclass, field
from functools import cache
from threading import local
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headcirc.backends.base import Runtime
from headcirc.errors import BackendUnavailableError
from headcirc.model.graph import Graph
from headcirc.model.prediction import Prediction, to_predictions

if TYPE_CHECKING:
    import openvino

RUNTIME = Runtime("openvino", ("openvino",), extra="cpu", precisions=("int8", "fp32"))


@dataclass
class OpenVinoBackend:
    """See `headcirc.backends.base.Backend`.

    `output_names` are the graph's own: a compiled model may give an output other names, too.
    """

    compiled: "openvino.CompiledModel"
    output_names: tuple[str, ...]
    precision: str
    name: str = field(default="openvino", init=False)
    device: str = field(default="cpu", init=False)
    _thread_local: local = field(default_factory=local, init=False, repr=False)

    def infer(self, network_input: NDArray[np.float32]) -> list[Prediction]:
        """Run the network on (n, 1, h, w) and return n predictions."""
        return to_predictions(self.infer_all(network_input))

    def infer_all(self, network_input: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the graph and return all its outputs by name.

        Each thread keeps its own inference request, so that threads do not share buffers and the
        buffers are allocated once.
        """
        request = self._run(network_input)
        return {
            name: np.array(request.get_output_tensor(index).data)
            for index, name in enumerate(self.output_names)
        }

    def _run(self, network_input: NDArray[np.float32]) -> "openvino.InferRequest":
        if not hasattr(self._thread_local, "request"):
            self._thread_local.request = self.compiled.create_infer_request()
        request = self._thread_local.request
        request.infer({0: network_input}, share_inputs=True)
        return request


@cache
def _get_core() -> "openvino.Core":
    """Return the OpenVINO core of this process, which is created once.

    A core of OpenVINO 2026.4 installs a signal stack for the thread and restores the previous one
    when it is destroyed. If the lifetimes of two cores overlap, the second restores a stack that
    the first has freed, and the next signal that Python handles there, such as SIGTERM, ends the
    process with SIGSEGV.
    """
    import openvino

    return openvino.Core()


def load(graph: Graph, *, threads: int, streams: int = 1) -> OpenVinoBackend:
    """Load the model.

    Threads are not pinned: several processes would otherwise use the same CPUs. Float32 layers stay
    in float32: OpenVINO would otherwise use bfloat16 where the CPU supports it.

    Parameters
    ----------
    graph : Graph
    threads : int
        Threads of the runtime.
    streams : int
        How many inferences run at the same time, each with its share of the threads. The threads of
        one inference wait for one another at each layer, so several take less time together than
        one after the other.

    Raises
    ------
    BackendUnavailableError
        OpenVINO refuses the graph.
    ModelArtifactError
        The graph's file is missing or damaged.
    """
    core = _get_core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": streams,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    content = graph.read()
    try:
        model = core.read_model(content, b"")
        output_names = tuple(each.get_any_name() for each in model.outputs)
        compiled = core.compile_model(model, "CPU", settings)
    except RuntimeError as error:
        reason = (
            str(error).strip().splitlines()[-1]
        )  # the lines above it are locations in OpenVINO's source
        raise BackendUnavailableError(
            f"OpenVINO refuses {graph.path.name!r}: {reason} Export the model again."
        ) from error
    return OpenVinoBackend(compiled, output_names, graph.precision)
