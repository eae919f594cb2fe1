import sys
from dataclasses import replace
from types import SimpleNamespace

import onnxruntime
import pytest

from headcirc.backends import load_backend, registry, tensorrt
from headcirc.backends.gpu import Gpu, find_gpu, require_gpu
from headcirc.backends.onnxruntime import require_provider
from headcirc.errors import BackendUnavailableError
from headcirc.model.manifest import load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR

without_gpu = pytest.mark.skipif(find_gpu() is not None, reason="this machine has an NVIDIA GPU")


@without_gpu
def test_missing_gpu_is_reported_with_cudas_error():
    """The real CUDA runtime reports the missing driver."""
    pytest.importorskip("cuda.bindings", reason="needs headcirc[export]")
    with pytest.raises(BackendUnavailableError, match="cudaGetDeviceCount reports"):
        require_gpu()


def test_missing_cuda_python_says_what_to_install(monkeypatch):
    """Without `cuda-python` the error names the extra."""
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(BackendUnavailableError, match=r"headcirc\[gpu\]"):
        require_gpu()


def test_gpu_is_named_with_its_compute_capability(monkeypatch):
    """An engine's key contains the first device's name and capability."""
    success = SimpleNamespace(name="success")
    cuda = SimpleNamespace(
        cudaError_t=SimpleNamespace(cudaSuccess=success),
        cudaGetDeviceCount=lambda: (success, 1),
        cudaGetDeviceProperties=lambda _: (
            success,
            SimpleNamespace(name=b"NVIDIA GeForce RTX 3080", major=8, minor=6),
        ),
    )
    monkeypatch.setattr("headcirc.backends.gpu.load_cuda", lambda: cuda)
    assert require_gpu() == Gpu("NVIDIA GeForce RTX 3080", (8, 6))
    assert str(require_gpu()) == "NVIDIA GeForce RTX 3080 sm_86"


@without_gpu
def test_requested_tensorrt_without_a_gpu_is_an_error():
    """TensorRT for RTX is installed here; without a GPU it is refused, not replaced."""
    pytest.importorskip("tensorrt_rtx", reason="needs headcirc[export]")
    with pytest.raises(BackendUnavailableError, match="GPU cannot be used"):
        load_backend("tensorrt", load_manifest(SHIPPED_MODEL_DIR), threads=1)


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(),
    reason="this ONNX Runtime has the CUDA provider",
)
def test_onnxruntime_cuda_with_the_cpu_build_is_an_error():
    """The CPU build of ONNX Runtime is refused where CUDA was asked for."""
    with pytest.raises(BackendUnavailableError, match=r"CPU build.*onnxruntime-gpu"):
        load_backend("onnxruntime-cuda", load_manifest(SHIPPED_MODEL_DIR), threads=1)


def test_session_that_moved_to_the_cpu_is_refused():
    """ONNX Runtime's silent fallback is an error."""
    session = SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])
    with pytest.raises(
        BackendUnavailableError, match="instead of the requested CUDAExecutionProvider"
    ):
        require_provider(session, "CUDAExecutionProvider")


def test_session_on_the_gpu_may_keep_the_cpu_behind_it():
    """ONNX Runtime always lists the CPU last."""
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    require_provider(SimpleNamespace(get_providers=lambda: providers), providers[0])


def usable_without(monkeypatch, *missing, gpu=True):
    """Pretend that some modules are not installed, and that a GPU is there or not."""

    def require():
        if not gpu:
            raise BackendUnavailableError("no GPU.")

    monkeypatch.setattr(registry, "find_spec", lambda name: None if name in missing else name)
    monkeypatch.setattr(tensorrt, "RUNTIME", replace(tensorrt.RUNTIME, require_device=require))


@pytest.mark.parametrize(
    ("missing", "gpu", "expected"),
    [
        ((), True, "tensorrt"),
        (("tensorrt",), True, "tensorrt"),  # TensorRT for RTX is the other flavour
        (("tensorrt", "tensorrt_rtx"), True, "openvino"),
        ((), False, "openvino"),
        (("openvino",), False, "onnxruntime"),
    ],
)
def test_auto_chooses_the_first_usable_backend(monkeypatch, caplog, missing, gpu, expected):
    """TensorRT only with a GPU, then OpenVINO, then ONNX Runtime; the log has the reasons."""
    usable_without(monkeypatch, *missing, gpu=gpu)
    with caplog.at_level("INFO"):
        assert registry.choose_backend("auto") == expected
    assert f"auto took {expected}" in caplog.text
    assert ("no GPU" in caplog.text) is not gpu


def test_auto_with_nothing_usable_lists_every_reason(monkeypatch):
    """The error has the reason for each backend."""
    usable_without(monkeypatch, "openvino", "onnxruntime", gpu=False)
    with pytest.raises(BackendUnavailableError, match=r"tensorrt: no GPU.*openvino: .*cpu"):
        registry.choose_backend("auto")
