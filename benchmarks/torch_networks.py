"""Run torch networks from numpy array to numpy array: eager, compiled, or as a CUDA graph.

Only torch and numpy are needed. torch is imported when a network is loaded.
"""

from collections.abc import Callable
from shutil import which
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headcirc.errors import BackendUnavailableError

CUDA, CPU = "cuda", "cpu"
EAGER, COMPILED, GRAPH = "eager", "compiled", "graph"
CAPTURE_WARM_UPS = 3
"""Runs before a capture, in which libraries choose their algorithms; torch's manual names it."""
Array = NDArray[np.float32]
Network = Callable[[Array], Array]


def to_network(module: Any, *, device: str, precision: str, mode: str) -> Network:
    """Return a function that runs a torch network on (n, 1, h, w) float32.

    It returns the (n, h, w) float32 probabilities in the memory of the host.

    Parameters
    ----------
    module : torch.nn.Module
        It returns logits, or a tuple that begins with them.
    device : str
        `cpu` or `cuda`.
    precision : str
        `fp32` or `fp16`.
    mode : str
        `eager`, `compiled` or `graph`.

    Raises
    ------
    BackendUnavailableError
        The device or the compiler is missing.
    """
    import torch  # noqa: PLC0415 - a heavy import that few engines need

    if device == CUDA and not torch.cuda.is_available():
        raise BackendUnavailableError("torch found no CUDA device.")
    if mode == GRAPH and device != CUDA:
        raise BackendUnavailableError("A CUDA graph needs a CUDA device.")
    if mode == COMPILED and not which("g++"):
        raise BackendUnavailableError("torch.compile needs a C++ compiler, but g++ is missing.")
    torch.backends.cudnn.allow_tf32 = False  # TF32 would be less precise than "fp32" says
    dtype = torch.float16 if precision == "fp16" else torch.float32
    module = module.to(device, dtype).eval()

    def forward(network_input: Any) -> Any:
        outputs = module(network_input.to(dtype))
        logits = outputs[0] if isinstance(outputs, tuple) else outputs
        return torch.sigmoid(logits)[:, 0].float()

    if mode == GRAPH:
        return GraphedNetwork(forward)
    run = torch.compile(forward) if mode == COMPILED else forward

    def infer(network_input: Array) -> Array:
        with torch.inference_mode():
            answer: Array = run(torch.from_numpy(network_input).to(device)).cpu().numpy()
            return answer

    return infer


class GraphedNetwork:
    """A network whose kernels are captured once for each size of a batch, and replayed.

    Short networks are bound by the launches of their kernels; a replay launches all at once. Both
    copies go through pinned memory.

    Parameters
    ----------
    forward : callable
        Maps a tensor on the GPU to a tensor on the GPU.
    """

    def __init__(self, forward: Callable[[Any], Any]) -> None:
        self._forward = forward
        self._captured: dict[tuple[int, ...], Callable[[Array], Array]] = {}

    def __call__(self, network_input: Array) -> Array:
        """Run the network; the result is a copy that later calls do not change."""
        if network_input.shape not in self._captured:
            self._captured[network_input.shape] = self._capture(network_input.shape)
        return self._captured[network_input.shape](network_input)

    def _capture(self, shape: tuple[int, ...]) -> Callable[[Array], Array]:
        import torch  # noqa: PLC0415 - see above

        given = torch.zeros(shape, device=CUDA)
        with torch.inference_mode():
            beside = torch.cuda.Stream()
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                for _ in range(CAPTURE_WARM_UPS):
                    self._forward(given)
            torch.cuda.current_stream().wait_stream(beside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                found = self._forward(given)
        host_input = torch.empty(shape, pin_memory=True)
        host_answer = torch.empty(found.shape, pin_memory=True)

        def replay(network_input: Array) -> Array:
            with torch.inference_mode():
                host_input.numpy()[:] = network_input
                given.copy_(host_input, non_blocking=True)
                graph.replay()
                host_answer.copy_(found, non_blocking=True)
                torch.cuda.synchronize()
                answer: Array = host_answer.numpy().copy()
                return answer

        return replay
