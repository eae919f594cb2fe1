"""The NVIDIA GPU, if there is one: found, named, and its CUDA calls checked.

CUDA is reached through `cuda-python` alone. The first device counts; where there are several,
`CUDA_VISIBLE_DEVICES` says which is the first.
"""

from dataclasses import dataclass
from typing import Any

from headcirc.errors import BackendUnavailableError


@dataclass(frozen=True)
class Gpu:
    """A GPU that is really there: its name and compute capability, for example (8, 6)."""

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
            f"CUDA cannot be reached from Python ({error}); install: pip install 'headcirc[gpu]'"
        ) from error
    return runtime


def require_gpu() -> Gpu:
    """Return the GPU that CUDA would use.

    Raises
    ------
    BackendUnavailableError
        No `cuda-python`, no driver or no device; the message has CUDA's own words.
    """
    cuda = load_cuda()
    (count,) = call(cuda, "cudaGetDeviceCount")
    if count == 0:
        raise BackendUnavailableError("CUDA finds no NVIDIA GPU on this machine.")
    (facts,) = call(cuda, "cudaGetDeviceProperties", 0)
    return Gpu(facts.name.decode(), (facts.major, facts.minor))


def find_gpu() -> Gpu | None:
    """Return the GPU that CUDA would use, or None where there is none."""
    try:
        return require_gpu()
    except BackendUnavailableError:
        return None


def call(cuda: Any, function: str, *arguments: Any) -> tuple[Any, ...]:
    """Call the CUDA runtime and return what it gives beside its status.

    Raises
    ------
    BackendUnavailableError
        The status is not success.
    """
    status, *values = getattr(cuda, function)(*arguments)
    if status != cuda.cudaError_t.cudaSuccess:
        _, words = cuda.cudaGetErrorString(status)
        raise BackendUnavailableError(
            f"The NVIDIA GPU cannot be used: {function} says {words.decode()!r}."
        )
    return tuple(values)
