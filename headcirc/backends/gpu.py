"""Find the NVIDIA GPU and check the results of CUDA calls.

CUDA is called through `cuda-python` only. The first device is used; `CUDA_VISIBLE_DEVICES` decides
which device is the first.
"""

from dataclasses import dataclass
from typing import Any

from headcirc.errors import BackendUnavailableError


@dataclass(frozen=True)
class Gpu:
    """A GPU that CUDA found: its name and compute capability, for example (8, 6)."""

    name: str
    compute_capability: tuple[int, int]

    def __str__(self) -> str:
        major, minor = self.compute_capability
        return f"{self.name} sm_{major}{minor}"


def load_cuda() -> Any:
    """Return the CUDA runtime's Python module.

    Raises
    ------
    BackendUnavailableError
        `cuda-python` is not installed, or cannot be loaded.
    """
    try:
        from cuda.bindings import runtime
    except (ImportError, OSError, RuntimeError) as error:
        raise BackendUnavailableError(
            f"CUDA cannot be used from Python ({error}). Install: pip install 'headcirc[gpu]'"
        ) from error
    return runtime


def require_gpu() -> Gpu:
    """Return the GPU that CUDA would use.

    Raises
    ------
    BackendUnavailableError
        `cuda-python`, the driver or the device is missing; the message contains CUDA's error.
    """
    cuda = load_cuda()
    (count,) = call(cuda, "cudaGetDeviceCount")
    if count == 0:
        raise BackendUnavailableError("CUDA finds no NVIDIA GPU on this machine.")
    (facts,) = call(cuda, "cudaGetDeviceProperties", 0)
    return Gpu(facts.name.decode(), (facts.major, facts.minor))


def find_gpu() -> Gpu | None:
    """Return the GPU that CUDA would use, or None without a GPU."""
    try:
        return require_gpu()
    except BackendUnavailableError:
        return None


def call(cuda: Any, function: str, *arguments: Any) -> tuple[Any, ...]:
    """Call the CUDA runtime, check the status and return the other results.

    Raises
    ------
    BackendUnavailableError
        The status is not success.
    """
    status, *values = getattr(cuda, function)(*arguments)
    if status != cuda.cudaError_t.cudaSuccess:
        _, words = cuda.cudaGetErrorString(status)
        raise BackendUnavailableError(
            f"The NVIDIA GPU cannot be used: {function} reports {words.decode()!r}."
        )
    return tuple(values)
