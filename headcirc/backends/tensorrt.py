"""The network in TensorRT, on an NVIDIA GPU, replayed as one CUDA graph per batch size.

A CUDA graph holds the whole way: copy in, network, copy out. NVIDIA's rule is one execution context
for each captured graph; they share one stream and one piece of memory, because the lock lets only
one run at a time. Buffers live as long as the process, as the backend does.
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

RUNTIME = Runtime(
    "tensorrt",
    FLAVOURS,
    extra="gpu",
    precisions=("fp16", "fp32"),
    require_device=require_gpu,
)
COPY = "cudaMemcpyAsync"
INPUT_AND_ANSWER = 2
"""Tensors of an engine that measures; an explain graph's has more."""


@dataclass(frozen=True)
class Buffer:
    """The same float32 array twice: pinned in the host's memory, and on the GPU.

    Attributes
    ----------
    name : str
        Of the engine's tensor.
    pinned : (maximum batch, 1, h, w) float32
        On the host, where the GPU can copy without the CPU.
    address : int
        On the GPU.
    """

    name: str
    pinned: NDArray[np.float32]
    address: int


class TensorRtBackend:
    """See `headcirc.backends.base.Backend`.

    Parameters
    ----------
    trt, cuda : module
        TensorRT's flavour; the CUDA runtime.
    engine : ICudaEngine
        One input and its outputs, float32, batch open up to its profile's maximum.
    precision, device : str
        To be told.
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
        # Ordinary streams may not be recorded while any thread uses CUDA's default stream, as ONNX
        # Runtime and engines that are being built do.
        (self._stream,) = call(cuda, "cudaStreamCreateWithFlags", cuda.cudaStreamNonBlocking)
        self._contexts: dict[int, Any] = {}
        self._graphs: dict[int, Any] = {}

    def infer(self, network_input: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the network on (n, 1, h, w) and return probabilities (n, h, w)."""
        (probabilities,) = self.infer_all(network_input).values()
        return probabilities[:, 0]

    def infer_all(self, network_input: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run a network of several outputs; each is (n, 1, rows, columns), by its name."""
        step = self._maximum_batch
        with self._lock:
            parts = [
                self._infer_batch(network_input[start : start + step])
                for start in range(0, len(network_input), step)
            ]
        return {
            each.name: np.concatenate([part[index] for part in parts])
            for index, each in enumerate(self._outputs)
        }

    def capture_every_batch(self) -> None:
        """Capture each batch size now; else it is when it first comes, and its answer takes longer.

        Some CUDA calls of other threads, such as those that build the explain engine, would end a
        capture that goes on beside them.
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
        self._enqueue(context, batch)  # TensorRT finishes its preparations at the first run
        call(cuda, "cudaStreamSynchronize", self._stream)
        # Thread-local: other threads may use CUDA meanwhile.
        mode = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        call(cuda, "cudaStreamBeginCapture", self._stream, mode)
        try:
            self._enqueue(context, batch)
        finally:  # or the stream would record for ever, and no later batch would run
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
            # Kernels for this batch size are compiled now: a captured graph would keep those that
            # stand in while a thread compiles better ones.
            strategies = trt.DynamicShapesKernelSpecializationStrategy
            settings.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
            context = self.engine.create_execution_context(settings)
        else:
            context = self.engine.create_execution_context(managed)
        if context is None:
            raise BackendUnavailableError(
                f"TensorRT has no execution context for {batch} pictures; its log says why."
            )
        context.set_device_memory(int(self._scratch), self._scratch_bytes)
        taken = context.set_input_shape(self._input.name, shape)
        for buffer in (self._input, *self._outputs):
            taken = taken and context.set_tensor_address(buffer.name, buffer.address)
        if not taken:
            raise BackendUnavailableError(
                f"TensorRT does not take an input of {shape}; its log says why."
            )
        return context

    def _enqueue(self, context: Any, batch: int) -> None:
        """Put copy in, network and copy out on the stream."""
        cuda, stream, kinds = self._cuda, self._stream, self._cuda.cudaMemcpyKind
        to_gpu, to_host = kinds.cudaMemcpyHostToDevice, kinds.cudaMemcpyDeviceToHost
        source = self._input.pinned[:batch]
        call(cuda, COPY, self._input.address, source.ctypes.data, source.nbytes, to_gpu, stream)
        if not context.execute_async_v3(int(stream)):
            raise BackendUnavailableError("TensorRT could not run the network; its log says why.")
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
    """Load the graph's engine onto the GPU; build it where there is none for this machine."""
    gpu = require_gpu()
    trt = load_flavour()
    engine = load_engine(trt, graph, gpu)
    backend = TensorRtBackend(trt, load_cuda(), engine, precision=graph.precision, device=gpu.name)
    if engine.num_io_tensors == INPUT_AND_ANSWER:  # explanations come one picture at a time
        backend.capture_every_batch()
    return backend
