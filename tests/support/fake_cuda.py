"""Fake CUDA and TensorRT without a GPU: host memory, real copies, and recorded graphs."""

import ctypes
from enum import Enum, IntEnum
from types import SimpleNamespace
from typing import ClassVar

import numpy as np


class cudaError_t(Enum):
    """As in `cuda.bindings.runtime`."""

    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorStreamCaptureImplicit = 906


SUCCESS = cudaError_t.cudaSuccess


class FakeCuda:
    """The functions of `cuda.bindings.runtime` that the backend calls.

    A stream is a list of actions. They run when the stream is synchronised. While the stream
    records, they run when the recorded graph is launched. There is one stream and CUDA's default
    stream.
    """

    cudaError_t = cudaError_t
    cudaHostAllocDefault = 0
    cudaStreamNonBlocking = 1
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self, *, memory_bytes: int = 1 << 30) -> None:
        self.free_bytes = memory_bytes
        self.waiting: list = []
        self.recorded: list | None = None
        self.is_apart = self.is_broken = False
        self.launches: list[int] = []
        self._kept: list = []

    def cudaMalloc(self, size_bytes):
        """Allocate host memory in place of GPU memory."""
        if size_bytes > self.free_bytes:
            return cudaError_t.cudaErrorMemoryAllocation, None
        self.free_bytes -= size_bytes
        self._kept.append(ctypes.create_string_buffer(size_bytes))
        return SUCCESS, ctypes.addressof(self._kept[-1])

    def cudaHostAlloc(self, size_bytes, flags):
        return self.cudaMalloc(size_bytes)

    def cudaStreamCreate(self):
        return self.cudaStreamCreateWithFlags(0)

    def cudaStreamCreateWithFlags(self, flags):
        self.is_apart = flags == self.cudaStreamNonBlocking
        return SUCCESS, 1

    def use_default_stream(self):
        """Use the default stream, as another thread may; this breaks a blocking recorded stream."""
        self.is_broken = self.recorded is not None and not self.is_apart

    def cudaGetErrorString(self, status):
        return SUCCESS, status.name.encode()

    def enqueue(self, action):
        """Add an action to the stream."""
        (self.waiting if self.recorded is None else self.recorded).append(action)

    def cudaMemcpyAsync(self, to, source, size_bytes, kind, stream):
        self.enqueue(lambda: ctypes.memmove(to, source, size_bytes))
        return (SUCCESS,)

    def cudaStreamSynchronize(self, stream):
        if self.recorded is not None:
            return (cudaError_t.cudaErrorStreamCaptureUnsupported,)
        while self.waiting:
            self.waiting.pop(0)()
        return (SUCCESS,)

    def cudaStreamBeginCapture(self, stream, mode):
        self.recorded = []
        return (SUCCESS,)

    def cudaStreamEndCapture(self, stream):
        recorded, self.recorded = self.recorded, None
        if self.is_broken:
            return cudaError_t.cudaErrorStreamCaptureImplicit, None
        return SUCCESS, recorded

    def cudaGraphInstantiate(self, recorded, flags):
        return SUCCESS, tuple(recorded)

    def cudaGraphDestroy(self, recorded):
        recorded.clear()
        return (SUCCESS,)

    def cudaGraphLaunch(self, graph, stream):
        self.launches.append(len(graph))
        self.waiting.extend(graph)
        return (SUCCESS,)


class TensorIOMode(IntEnum):
    """As in TensorRT."""

    INPUT = 1
    OUTPUT = 2


FAKE_TENSORRT = SimpleNamespace(
    __name__="tensorrt",
    TensorIOMode=TensorIOMode,
    ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED=2),
)


class FakeEngine:
    """An engine that doubles its input (n, 1, 2, 3), with at most four pictures.

    With `explains`, a second output (n, 1, 1, 1) is the top left corner of the input.
    """

    GRID: ClassVar = (1, 2, 3)
    MAXIMUM_BATCH = 4
    device_memory_size_v2 = 100

    def __init__(self, cuda: FakeCuda, *, explains: bool = False) -> None:
        self.cuda = cuda
        self.tensors = {"probability_map": TensorIOMode.OUTPUT, "question": TensorIOMode.INPUT}
        if explains:
            self.tensors["corner"] = TensorIOMode.OUTPUT
        self.num_io_tensors = len(self.tensors)
        self.contexts: list[FakeContext] = []

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_mode(self, name):
        return self.tensors[name]

    def get_tensor_shape(self, name):
        return (-1, 1, 1, 1) if name == "corner" else (-1, *self.GRID)

    def get_tensor_profile_shape(self, name, profile):
        return [(1, *self.GRID), (1, *self.GRID), (self.MAXIMUM_BATCH, *self.GRID)]

    def create_execution_context(self, strategy):
        """Return a context, which needs memory, a shape and addresses before it can run."""
        self.contexts.append(FakeContext(self))
        return self.contexts[-1]


class FakeContext:
    """An execution context of `FakeEngine`."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine, self.addresses, self.shape, self.has_memory = engine, {}, None, False

    def set_device_memory(self, address, size_bytes):
        self.has_memory = size_bytes >= self.engine.device_memory_size_v2

    def set_input_shape(self, name, shape):
        self.shape = shape
        return name == "question" and shape[0] <= self.engine.MAXIMUM_BATCH

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream):
        """Enqueue the doubling and, with `explains`, the copy of the corner."""
        if not self.has_memory or set(self.addresses) != set(self.engine.tensors):
            return False
        source, target = (
            self._view("question", self.shape),
            self._view("probability_map", self.shape),
        )
        self.engine.cuda.enqueue(lambda: np.multiply(source, 2, out=target))
        if "corner" in self.engine.tensors:
            corner = self._view("corner", (self.shape[0], 1, 1, 1))
            self.engine.cuda.enqueue(lambda: np.copyto(corner, source[:, :, :1, :1]))
        return True

    def _view(self, name, shape):
        count = int(np.prod(shape))
        values = (ctypes.c_float * count).from_address(self.addresses[name])
        return np.ctypeslib.as_array(values).reshape(shape)
