from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from headcirc.backends import tensorrt
from headcirc.backends.gpu import Gpu
from headcirc.backends.tensorrt import TensorRtBackend
from headcirc.errors import BackendUnavailableError
from headcirc.model.graph import Graph
from tests.support.fake_cuda import FAKE_TENSORRT, FakeContext, FakeCuda, FakeEngine

tensorrt_rtx = pytest.importorskip("tensorrt_rtx", reason="needs headcirc[export]")
runtime = pytest.importorskip("cuda.bindings.runtime", reason="needs headcirc[export]")


@pytest.fixture
def cuda():
    return FakeCuda()


@pytest.fixture
def engine(cuda):
    return FakeEngine(cuda)


@pytest.fixture
def backend(cuda, engine):
    return TensorRtBackend(FAKE_TENSORRT, cuda, engine, precision="fp16", device="a fake GPU")


def infer(backend, pictures):
    return backend.infer_all(pictures)["probability_map"]


def draw(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, *FakeEngine.GRID), np.float32)


@pytest.mark.parametrize("count", [1, 2, 4, 5, 9])
def test_every_picture_gets_its_own_result(backend, count):
    """The network doubles its input; the results do too, also over several batches."""
    pictures = draw(count)
    assert np.array_equal(infer(backend, pictures), 2 * pictures)


def test_each_batch_size_is_captured_once_in_its_own_context(backend, cuda, engine):
    """Five pictures are a batch of four and one of one; a second call captures nothing."""
    backend.infer(draw(5))
    backend.infer(draw(5, seed=1))
    assert [context.shape[0] for context in engine.contexts] == [4, 1]
    assert cuda.launches == [3, 3, 3, 3]  # copy in, network, copy out, in one launch


def test_results_do_not_change_with_the_next_request(backend):
    """A result is a copy of the pinned buffer."""
    pictures = draw(2)
    first = infer(backend, pictures)
    backend.infer(draw(2, seed=1))
    assert np.array_equal(first, 2 * pictures)


@pytest.mark.parametrize("count", [1, 4, 9])
def test_every_output_has_its_name_and_grid(cuda, count):
    """A network with two outputs returns both, for one picture and for several batches."""
    engine = FakeEngine(cuda, explains=True)
    backend = TensorRtBackend(FAKE_TENSORRT, cuda, engine, precision="fp16", device="a fake GPU")
    pictures = draw(count)
    found = backend.infer_all(pictures)
    assert set(found) == {"probability_map", "corner"}
    assert np.array_equal(found["probability_map"], 2 * pictures)
    assert np.array_equal(found["corner"], pictures[:, :, :1, :1])


def test_threads_get_their_own_results(backend):
    """Sixteen threads with different pictures run concurrently."""
    pictures = [draw(1 + seed % 4, seed) for seed in range(16)]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda each: infer(backend, each), pictures))
    assert all(np.array_equal(a, 2 * p) for a, p in zip(answers, pictures, strict=True))


def test_too_little_memory_is_reported_with_cudas_error(engine):
    """A GPU without room for the buffers is an error that says so."""
    cuda = FakeCuda(memory_bytes=10)
    with pytest.raises(BackendUnavailableError, match="cudaHostAlloc reports 'cudaErrorMemory"):
        TensorRtBackend(FAKE_TENSORRT, cuda, engine, precision="fp16", device="a fake GPU")


def test_network_that_does_not_run_is_an_error(backend, engine):
    """TensorRT's False becomes our error."""
    engine.device_memory_size_v2 = 10**6  # the context now needs more than it is given
    with pytest.raises(BackendUnavailableError, match="could not run the network"):
        backend.infer(draw(1))


def test_failed_capture_is_ended(backend, cuda):
    """After a batch fails during capture, the stream still runs the next one."""
    copy = cuda.cudaMemcpyAsync

    def fail_recorded(*arguments):
        return copy(*arguments) if cuda.recorded is None else cuda.cudaMalloc(cuda.free_bytes + 1)

    cuda.cudaMemcpyAsync = fail_recorded
    with pytest.raises(BackendUnavailableError, match="cudaMemcpyAsync reports"):
        backend.infer(draw(2))
    cuda.cudaMemcpyAsync = copy
    pictures = draw(2, seed=1)
    assert np.array_equal(infer(backend, pictures), 2 * pictures)


def test_other_threads_may_use_cudas_default_stream_during_capture(backend, cuda):
    """ONNX Runtime and engine builds use it."""
    copy = cuda.cudaMemcpyAsync

    def copy_beside_another_thread(*arguments):
        cuda.use_default_stream()
        return copy(*arguments)

    cuda.cudaMemcpyAsync = copy_beside_another_thread
    pictures = draw(2)
    assert np.array_equal(infer(backend, pictures), 2 * pictures)


@pytest.mark.parametrize(("explains", "captured"), [(False, [1, 2, 3, 4]), (True, [])])
def test_every_batch_size_is_captured_before_the_first_request(
    monkeypatch, cuda, explains, captured
):
    """No request waits for one, or meets another thread's work; maps come one picture at a time."""
    engine = FakeEngine(cuda, explains=explains)
    monkeypatch.setattr(tensorrt, "require_gpu", lambda: Gpu("a fake GPU", (9, 0)))
    monkeypatch.setattr(tensorrt, "load_flavour", lambda: FAKE_TENSORRT)
    monkeypatch.setattr(tensorrt, "load_engine", lambda *_: engine)
    monkeypatch.setattr(tensorrt, "load_cuda", lambda: cuda)
    tensorrt.load(Graph("fp16", None, ""), threads=1)
    assert [context.shape[0] for context in engine.contexts] == captured


def test_fakes_have_only_what_the_real_modules_have():
    """Each name that the backend calls is one of CUDA's or TensorRT's, with its value."""
    for name, value in vars(FakeCuda).items():
        if name.startswith("cuda"):
            real = getattr(runtime, name)
            assert value == real or not isinstance(value, int), name
    for kinds in ("cudaMemcpyKind", "cudaStreamCaptureMode"):
        for name, value in vars(getattr(FakeCuda, kinds)).items():
            assert value == int(getattr(getattr(runtime, kinds), name)), name
    for fake, real in (
        (FakeEngine, tensorrt_rtx.ICudaEngine),
        (FakeContext, tensorrt_rtx.IExecutionContext),
    ):
        called = [name for name in vars(fake) if name[0].islower()]
        assert called
        assert [name for name in called if not hasattr(real, name)] == []
