"""Run the network with TensorRT on an NVIDIA GPU, as one CUDA graph per batch size.

A CUDA graph contains the input copy, the network and the output copy. NVIDIA requires one
execution context for each captured graph. All contexts share one stream and one scratch memory,
because a lock allows only one run at a time. Buffers are never freed, because the backend lives as
long as the process.
"""

import ctypes
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headcirc.backends.base import Runtime
from headcirc.backends.gpu import call, load_cuda, require_gpu
from headcirc.backends.tensorrt_builder import FLAVOURS, is_portable, load_flavour
from headcirc.backends.tensorrt_engines import load_engine
from headcirc.errors import BackendUnavailableError
from headcirc.model.graph import Graph
from headcirc.model.prediction import (
    HEAD_PLANE_OUTPUT,
    PROBABILITY_OUTPUT,
    Prediction,
    to_predictions,
)

RUNTIME = Runtime(
    "tensorrt",
    FLAVOURS,
    extra="gpu",
    precisions=("fp16", "fp32"),
    require_device=require_gpu,
)
COPY = "cudaMemcpyAsync"


@dataclass(frozen=True)
class Buffer:
    """A float32 array in pinned host memory and its counterpart on the GPU.

    Attributes
    ----------
    name : str
        Name of the engine's tensor.
    pinned : (maximum batch, 1, h, w) or (maximum batch, 1) float32
        Host memory that the GPU can copy without the CPU.
    address : int
        Address of the memory on the GPU.
    """

    name: str
    pinned: NDArray[np.float32]
    address: int


class TensorRtBackend:
    """See `headcirc.backends.base.Backend`.

    Parameters
    ----------
    trt, cuda : module
        `tensorrt` or `tensorrt_rtx`, and the CUDA runtime.
    engine : ICudaEngine
        One input and one or more outputs, float32, with a batch size up to the profile's maximum.
    precision, device : str
        Reported as the backend's attributes.
    """

    def __init__(self, trt: Any, cuda: Any, engine: Any, *, precision: str, device: str) -> None:
        self.name = "tensorrt"
        self.precision, self.device = precision, device
        self.engine = engine
        self._trt, self._cuda = trt, cuda
        self._lock = Lock()
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        input_name, *output_names = sorted(
            names, key=lambda name: engine.get_tensor_mode(name) != trt.TensorIOMode.INPUT
        )
        _, _, maximum_shape = engine.get_tensor_profile_shape(input_name, 0)
        self._maximum_batch = int(maximum_shape[0])
        self._input = self._allocate(input_name)
        self._outputs = [self._allocate(name) for name in output_names]
        self._scratch_bytes = engine.device_memory_size_v2
        (self._scratch,) = call(cuda, "cudaMalloc", max(self._scratch_bytes, 1))
        # A blocking stream cannot be captured while another thread uses CUDA's default stream, as
        # ONNX Runtime and engine builds do.
        (self._stream,) = call(cuda, "cudaStreamCreateWithFlags", cuda.cudaStreamNonBlocking)
        self._contexts: dict[int, Any] = {}
        self._graphs: dict[int, Any] = {}

    @property
    def is_measuring(self) -> bool:
        """Return whether the engine measures; otherwise it is that of an explain graph."""
        return {each.name for each in self._outputs} <= {PROBABILITY_OUTPUT, HEAD_PLANE_OUTPUT}

    def infer(self, network_input: NDArray[np.float32]) -> list[Prediction]:
        """Run the network on (n, 1, h, w) and return n predictions."""
        return to_predictions(self.infer_all(network_input))

    def infer_all(self, network_input: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the graph and return all its outputs by name."""
        step = self._maximum_batch
        with self._lock:
            batches = [
                self._infer_batch(network_input[start : start + step])
                for start in range(0, len(network_input), step)
            ]
        return {
            each.name: np.concatenate([batch[index] for batch in batches])
            for index, each in enumerate(self._outputs)
        }

    def capture_every_batch(self) -> None:
        """Capture the CUDA graph of every batch size now, not at its first use.

        The first use would be slow, and CUDA calls of other threads, such as building the explain
        engine, could invalidate a capture that runs at the same time.
        """
        with self._lock:
            for batch in range(1, self._maximum_batch + 1):
                self._require_graph(batch)

    def _require_graph(self, batch: int) -> Any:
        if batch not in self._graphs:
            self._graphs[batch] = self._capture(batch)
        return self._graphs[batch]

    def _infer_batch(self, pictures: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        batch = len(pictures)
        graph = self._require_graph(batch)
        self._input.pinned[:batch] = pictures
        call(self._cuda, "cudaGraphLaunch", graph, self._stream)
        call(self._cuda, "cudaStreamSynchronize", self._stream)
        return [each.pinned[:batch].copy() for each in self._outputs]

    def _capture(self, batch: int) -> Any:
        """Return the CUDA graph of one batch size."""
        cuda = self._cuda
        context = self._contexts[batch] = self._create_context(batch)  # the graph points into it
        self._enqueue(context, batch)  # TensorRT completes its initialisation in the first run
        call(cuda, "cudaStreamSynchronize", self._stream)
        # Thread-local mode: other threads may use CUDA during the capture.
        mode = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        call(cuda, "cudaStreamBeginCapture", self._stream, mode)
        try:
            self._enqueue(context, batch)
        finally:  # otherwise the stream stays in capture mode and no later batch runs
            (recorded,) = call(cuda, "cudaStreamEndCapture", self._stream)
        (graph,) = call(cuda, "cudaGraphInstantiate", recorded, 0)
        call(cuda, "cudaGraphDestroy", recorded)
        return graph

    def _create_context(self, batch: int) -> Any:
        trt, shape = self._trt, (batch, *self._input.pinned.shape[1:])
        managed = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if is_portable(trt):
            settings = self.engine.create_runtime_config()
            settings.set_execution_context_allocation_strategy(managed)
            # Compile the kernels for this batch size now. A captured graph would otherwise keep the
            # fallback kernels that run while a thread compiles better ones.
            strategies = trt.DynamicShapesKernelSpecializationStrategy
            settings.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
            context = self.engine.create_execution_context(settings)
        else:
            context = self.engine.create_execution_context(managed)
        if context is None:
            raise BackendUnavailableError(
                f"TensorRT cannot create an execution context for a batch of {batch}; see its log."
            )
        context.set_device_memory(int(self._scratch), self._scratch_bytes)
        taken = context.set_input_shape(self._input.name, shape)
        for buffer in (self._input, *self._outputs):
            taken = taken and context.set_tensor_address(buffer.name, buffer.address)
        if not taken:
            raise BackendUnavailableError(
                f"TensorRT refuses an input of shape {shape}; see its log."
            )
        return context

    def _enqueue(self, context: Any, batch: int) -> None:
        """Enqueue the input copy, the network and the output copies on the stream."""
        cuda, stream, kinds = self._cuda, self._stream, self._cuda.cudaMemcpyKind
        to_gpu, to_host = kinds.cudaMemcpyHostToDevice, kinds.cudaMemcpyDeviceToHost
        source = self._input.pinned[:batch]
        call(cuda, COPY, self._input.address, source.ctypes.data, source.nbytes, to_gpu, stream)
        if not context.execute_async_v3(int(stream)):
            raise BackendUnavailableError("TensorRT could not run the network; see its log.")
        for each in self._outputs:
            target = each.pinned[:batch]
            call(cuda, COPY, target.ctypes.data, each.address, target.nbytes, to_host, stream)

    def _allocate(self, name: str) -> Buffer:
        shape = (self._maximum_batch, *tuple(self.engine.get_tensor_shape(name))[1:])
        count = int(np.prod(shape))
        size_bytes = count * np.dtype(np.float32).itemsize
        (host,) = call(self._cuda, "cudaHostAlloc", size_bytes, self._cuda.cudaHostAllocDefault)
        pinned = np.ctypeslib.as_array((ctypes.c_float * count).from_address(int(host)))
        (address,) = call(self._cuda, "cudaMalloc", size_bytes)
        return Buffer(name, pinned.reshape(shape), int(address))


def load(graph: Graph, *, threads: int) -> TensorRtBackend:
    """Load the graph's engine onto the GPU; build it if there is none for this machine.

    Parameters
    ----------
    graph : Graph
    threads : int
        Not used: the network runs on the GPU.

    Raises
    ------
    BackendUnavailableError
        There is no GPU or no TensorRT, or the engine cannot be built or loaded.
    ModelArtifactError
        The graph is missing, damaged or not in its stated precision.
    """
    gpu = require_gpu()
    trt = load_flavour()
    engine = load_engine(trt, graph, gpu)
    backend = TensorRtBackend(trt, load_cuda(), engine, precision=graph.precision, device=gpu.name)
    if backend.is_measuring:  # explain graphs always run batches of 1
        backend.capture_every_batch()
    return backend
