import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from headcirc.backends import tensorrt_builder
from headcirc.backends.gpu import Gpu
from headcirc.backends.tensorrt_builder import build_engine, load_flavour
from headcirc.backends.tensorrt_engines import (
    EngineIdentity,
    load_engine,
    to_identity,
    write_atomically,
    write_engine,
)
from headcirc.errors import BackendUnavailableError, ModelArtifactError
from headcirc.model.graph import Graph

tensorrt_rtx = pytest.importorskip("tensorrt_rtx", reason="needs headcirc[export]")

GPU = Gpu("NVIDIA GeForce RTX 3080", (8, 6))
IDENTITY = EngineIdentity("a" * 64, "tensorrt 11.4.0.106", str(GPU))


class Runtime:
    """Loads what the real builder built, as bytes: running an engine needs a GPU."""

    def __init__(self, logger):
        assert isinstance(logger, tensorrt_rtx.ILogger)

    def deserialize_cuda_engine(self, content):
        """Return None for what is no engine, as TensorRT does."""
        return content if content[:4] == b"ftrt" or len(content) > 10_000 else None


def to_flavour(name="tensorrt_rtx", without=()):
    """Return TensorRT for RTX with a runtime that needs no GPU, or less of it."""
    flavour = ModuleType(name)
    flavour.__dict__.update(
        {key: value for key, value in vars(tensorrt_rtx).items() if key not in without}
        | {"Runtime": Runtime, "__name__": name}
    )
    return flavour


@pytest.fixture
def graph(fp16_graph, tmp_path):
    """Return the FP16 graph in a folder of its own, where engines may be kept."""
    path = tmp_path / fp16_graph.path.name
    path.hardlink_to(fp16_graph.path)
    return replace(fp16_graph, path=path)


@pytest.mark.parametrize(
    "change",
    [
        {"onnx_sha256": "b" * 64},
        {"runtime": "tensorrt 11.4.1.2"},
        {"runtime": "tensorrt_rtx 11.4.0.106"},
        {"target": "NVIDIA GeForce RTX 3090 sm_86"},
        {"profile": "batch 1 to 16, best at 1"},
        {"recipe": IDENTITY.recipe + 1},
    ],
)
def test_key_depends_on_every_fact(change):
    """Graph, TensorRT, GPU, profile and recipe all change the key."""
    assert replace(IDENTITY, **change).key != IDENTITY.key
    assert replace(IDENTITY).key == IDENTITY.key


def test_timings_are_shared_by_the_graphs_of_one_gpu(graph):
    """Another graph has another engine and the same timing cache; another GPU has another one."""
    other_graph, other_gpu = replace(IDENTITY, onnx_sha256="b" * 64), replace(IDENTITY, target="")
    assert other_graph.to_timing_path(graph) == IDENTITY.to_timing_path(graph)
    assert other_gpu.to_timing_path(graph) != IDENTITY.to_timing_path(graph)


def test_engine_is_built_once_and_stored(graph, monkeypatch):
    """The second start reads the engine of the first one."""
    built = load_engine(to_flavour(), graph, GPU)
    (kept,) = graph.path.parent.glob("*.engine")
    assert kept.read_bytes() == built
    assert load_engine(to_flavour(without=["Builder"]), graph, GPU) == built


def test_engine_built_ahead_is_the_one_that_is_loaded(graph):
    """`make engine` without a GPU writes the file that a machine with a GPU loads."""
    path = write_engine(to_flavour(), graph, gpu=None)
    assert load_engine(to_flavour(without=["Builder"]), graph, GPU) == path.read_bytes()


def test_damaged_engine_is_built_again(graph, caplog):
    """A file that TensorRT refuses is replaced, and the log has a warning."""
    path = to_identity(to_flavour(), graph, GPU).to_engine_path(graph)
    path.write_bytes(b"damaged")
    engine = load_engine(to_flavour(), graph, GPU)
    assert path.read_bytes() == engine != b"damaged"
    assert "cannot be read; building it again" in caplog.text


def test_engine_of_another_version_is_never_opened(graph):
    """It stays unchanged while the right engine is built."""
    old = to_flavour()
    old.__version__ = "1.0.0"
    stale = to_identity(old, graph, GPU).to_engine_path(graph)
    stale.write_bytes(b"x" * 20_000)
    assert load_engine(to_flavour(), graph, GPU) != stale.read_bytes()
    assert len(list(graph.path.parent.glob("*.engine"))) == 2


def test_without_builder_a_missing_engine_is_refused(graph):
    """The error names the GPU, the version and the command."""
    with pytest.raises(BackendUnavailableError, match=r"RTX 3080.*has no builder.*make engine"):
        load_engine(to_flavour(without=["Builder"]), graph, GPU)


def test_engine_that_cannot_be_stored_still_runs(graph, caplog):
    """If the engine cannot be written, it is used anyway, and the log has a warning.

    The file name is too long for the temporary file beside the engine. Permissions would not stop
    a test that runs as root.
    """
    long_name = graph.path.with_name("m" * 225 + ".onnx")
    long_name.hardlink_to(graph.path)
    assert load_engine(to_flavour(), replace(graph, path=long_name), GPU)
    assert "could not be stored" in caplog.text
    assert not list(graph.path.parent.glob("*.engine"))


def test_two_containers_may_store_one_engine_concurrently(tmp_path, monkeypatch):
    """Each uses its own temporary file, although both have the same process ID."""
    path = tmp_path / "model.engine"
    write = Path.write_bytes

    def write_beside_another(partial, content):
        if content == b"first":
            write(partial, b"fi")
            write_atomically(path, b"second")
            assert partial.read_bytes() == b"fi"
        return write(partial, content)

    monkeypatch.setattr(Path, "write_bytes", write_beside_another)
    write_atomically(path, b"first")
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {path.name: b"first"}


def test_full_disk_leaves_no_partial_engine(tmp_path, monkeypatch):
    """What could not be written whole is taken away: each start would leave another one."""

    def fill_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fill_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "model.engine", b"half")
    assert list(tmp_path.iterdir()) == []


def test_unsupported_gpu_of_tensorrt_for_rtx_is_an_error_with_a_remedy(graph, monkeypatch):
    """An H100 runs TensorRT, not TensorRT for RTX, whose engine does not load there."""
    monkeypatch.setattr(Runtime, "deserialize_cuda_engine", lambda *_: None)
    with pytest.raises(BackendUnavailableError, match=r"H100 sm_90.*from 12\.0.*headcirc\[gpu\]"):
        load_engine(to_flavour(), graph, Gpu("NVIDIA H100", (9, 0)))


def test_tensorrt_itself_needs_the_gpu_that_runs_the_engine(graph):
    """Only TensorRT for RTX builds without a GPU."""
    with pytest.raises(BackendUnavailableError, match=r"this machine has no GPU.*make engine"):
        to_identity(to_flavour("tensorrt"), graph, None)


def test_invalid_graph_is_refused_with_the_parsers_error():
    """Invalid ONNX bytes are the model's fault, not the GPU's."""
    with pytest.raises(ModelArtifactError, match="Export the model again"):
        build_engine(tensorrt_rtx, b"no graph", precision="fp16")


def test_damaged_graph_is_refused_before_the_build(graph):
    """The manifest's SHA-256 is checked first."""
    damaged = Graph("fp16", graph.path, "0" * 64)
    with pytest.raises(ModelArtifactError, match="damaged or another model"):
        load_engine(to_flavour(), damaged, GPU)


class TimingConfig:
    """A builder configuration that takes only timings of its own machine."""

    def __init__(self):
        self.attached = None

    def create_timing_cache(self, content):
        return content

    def set_timing_cache(self, cache, *, ignore_mismatch):
        assert not ignore_mismatch
        self.attached = cache if cache in (b"", b"mine") else None
        return self.attached is not None


@pytest.mark.parametrize(("content", "kept"), [(b"mine", b"mine"), (b"foreign", b"")])
def test_timing_cache_of_another_machine_is_replaced_by_an_empty_one(content, kept):
    """A timing cache that TensorRT refuses is not used."""
    config = TimingConfig()
    assert tensorrt_builder.attach_timing_cache(config, content) == kept == config.attached


def test_missing_tensorrt_says_what_to_install(monkeypatch):
    """Without either flavour the error names the extra."""
    monkeypatch.setattr(tensorrt_builder, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailableError, match=r"headcirc\[gpu\]"):
        load_flavour()


def test_broken_tensorrt_is_distinguished_from_a_missing_one(monkeypatch):
    """The error has the module, the reason and the remedy."""
    monkeypatch.setattr(tensorrt_builder, "FLAVOURS", ("broken_tensorrt",))
    monkeypatch.setattr(tensorrt_builder, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "broken_tensorrt", None)
    with pytest.raises(
        BackendUnavailableError, match=r"is installed and cannot start.*headcirc\[gpu\]"
    ):
        load_flavour()
