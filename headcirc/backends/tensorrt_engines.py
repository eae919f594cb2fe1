"""Store TensorRT engines on disk, beside the graphs that they were built from.

An engine runs only on the GPU and TensorRT version that it was built for. The file name contains a
key of everything that the engine depends on, so that an outdated or foreign engine is never opened.
An engine that is missing or cannot be read is built again; without a builder that is an error.
"""

import hashlib
import logging
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from headcirc.backends.gpu import Gpu
from headcirc.backends.tensorrt_builder import (
    PROFILE,
    build_engine,
    has_builder,
    is_portable,
    to_logger,
)
from headcirc.errors import BackendUnavailableError
from headcirc.model.graph import Graph

logger = logging.getLogger("headcirc.tensorrt")

RECIPE = 1
"""Increase it when `tensorrt_builder` changes the engine that it builds from a graph."""
PORTABLE = "every GPU of TensorRT for RTX"
TENSORRT_INSTEAD = (
    " TensorRT for RTX supports compute capability 8.0, 8.6, 8.9 and from 12.0; for another GPU "
    "install TensorRT itself: pip install 'headcirc[gpu]'"
)


@dataclass(frozen=True)
class EngineIdentity:
    """Everything that an engine depends on.

    Attributes
    ----------
    onnx_sha256 : str
        SHA-256 of the graph's file and, after a `+`, of the file with its weights.
    runtime : str
        Name and full version of the TensorRT module.
    target : str
        Name and compute capability of the GPU, or `PORTABLE`.
    profile : str
        Supported batch sizes.
    recipe : int
        Version of our build settings, `RECIPE`.
    """

    onnx_sha256: str
    runtime: str
    target: str
    profile: str = PROFILE
    recipe: int = RECIPE

    @property
    def key(self) -> str:
        """Return 16 hexadecimal digits of a hash over all attributes."""
        return _to_key(*astuple(self))

    def to_engine_path(self, graph: Graph) -> Path:
        """Return the path of a graph's engine."""
        return graph.path.with_name(f"{graph.path.stem}.{self.key}.engine")

    def to_timing_path(self, graph: Graph) -> Path:
        """Return the path of the timing cache, shared by all graphs on this GPU and runtime."""
        return graph.path.with_name(f"tensorrt.{_to_key(self.runtime, self.target)}.timing")


def to_identity(trt: Any, graph: Graph, gpu: Gpu | None) -> EngineIdentity:
    """Return the identity of the engine that a graph needs on this machine.

    Raises
    ------
    BackendUnavailableError
        There is no GPU, and this TensorRT module builds only for the GPU of the machine.
    """
    if is_portable(trt):
        target = PORTABLE
    elif gpu is None:
        raise BackendUnavailableError(
            f"{trt.__name__} builds an engine only on the GPU that will run it, and this machine "
            "has no GPU. Run there: make engine (tensorrt-rtx needs no GPU)"
        )
    else:
        target = str(gpu)
    return EngineIdentity(graph.identity, f"{trt.__name__} {trt.__version__}", target)


def write_engine(trt: Any, graph: Graph, gpu: Gpu | None) -> Path:
    """Build and store the engine of a graph; return its path.

    Raises
    ------
    BackendUnavailableError, ModelArtifactError
        See `tensorrt_builder.build_engine`.
    OSError
        The model's folder cannot be written to.
    """
    identity = to_identity(trt, graph, gpu)
    engine, timings = _build(trt, graph, identity)
    _store(graph, identity, engine, timings)
    return identity.to_engine_path(graph)


def load_engine(trt: Any, graph: Graph, gpu: Gpu) -> Any:
    """Load a graph's engine for this GPU; build and store it if there is none.

    Raises
    ------
    BackendUnavailableError
        There is no engine and no builder, or the new engine does not load.
    ModelArtifactError
        The graph is missing, damaged or not in its stated precision.
    """
    identity = to_identity(trt, graph, gpu)
    path = identity.to_engine_path(graph)
    if path.is_file():
        engine = _deserialise(trt, path.read_bytes())
        if engine is not None:
            return engine
        logger.warning("the engine %s cannot be read; building it again", path.name)
    if not has_builder(trt):
        raise BackendUnavailableError(
            f"There is no engine for {gpu}, and {identity.runtime} has no builder. Build the "
            "engine with: make engine"
        )
    logger.info("building an engine for %s with %s", gpu, identity.runtime)
    content, timings = _build(trt, graph, identity)
    engine = _deserialise(trt, content)
    if engine is None:
        raise BackendUnavailableError(
            f"The engine that {identity.runtime} has just built does not load on {gpu}; see its "
            f"log.{TENSORRT_INSTEAD if is_portable(trt) else ''}"
        )
    try:
        _store(graph, identity, content, timings)
    except OSError as error:  # a read-only model folder is legitimate; the next start builds again
        logger.warning("the engine could not be stored for the next start: %s", error.strerror)
    return engine


def _deserialise(trt: Any, content: bytes) -> Any:
    return trt.Runtime(to_logger(trt)).deserialize_cuda_engine(content)


def _build(trt: Any, graph: Graph, identity: EngineIdentity) -> tuple[bytes, bytes]:
    timing_path = identity.to_timing_path(graph)
    timings = timing_path.read_bytes() if timing_path.is_file() else b""
    return build_engine(trt, graph.read(), precision=graph.precision, timing_cache=timings)


def _store(graph: Graph, identity: EngineIdentity, engine: bytes, timings: bytes) -> None:
    write_atomically(identity.to_engine_path(graph), engine)
    if timings:
        write_atomically(identity.to_timing_path(graph), timings)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically, so that another process never sees a part of it."""
    # A process ID would not be unique: in containers that share the folder, each writer has ID 1.
    partial = path.with_name(f"{path.name}.{uuid4().hex}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:  # leave no partial file after an error, such as a full disk
        partial.unlink(missing_ok=True)


def _to_key(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
