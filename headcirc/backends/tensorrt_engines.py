"""Engines on disk, beside the graphs that they were built from.

An engine runs only where it was made for: its file's name has a key over all that it depends on, so
that a stale or foreign one is never opened. One that is missing or cannot be read is built again;
without a builder that is an error.
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
"""Raise it when `tensorrt_builder` builds another engine from the same graph."""
PORTABLE = "every GPU of TensorRT for RTX"
TENSORRT_INSTEAD = (
    " TensorRT for RTX runs on compute capability 8.0, 8.6, 8.9 and from 12.0; for another GPU "
    "install TensorRT itself: pip install 'headcirc[gpu]'"
)


@dataclass(frozen=True)
class EngineIdentity:
    """All that an engine depends on.

    Attributes
    ----------
    onnx_sha256 : str
        Of the graph's file; behind a `+`, of the file that its weights come from.
    runtime : str
        TensorRT's flavour and full version.
    target : str
        The GPU's name and compute capability; the same words for all portable engines.
    profile : str
        The batch sizes that it takes; the grid is the graph's.
    recipe : int
        Of our builder.
    """

    onnx_sha256: str
    runtime: str
    target: str
    profile: str = PROFILE
    recipe: int = RECIPE

    @property
    def key(self) -> str:
        """Return 16 hexadecimal digits that differ where anything differs."""
        return _to_key(*astuple(self))

    def to_engine_path(self, graph: Graph) -> Path:
        """Return where the engine of a graph lies."""
        return graph.path.with_name(f"{graph.path.stem}.{self.key}.engine")

    def to_timing_path(self, graph: Graph) -> Path:
        """Return where timings lie: other graphs on this GPU and runtime share them."""
        return graph.path.with_name(f"tensorrt.{_to_key(self.runtime, self.target)}.timing")


def to_identity(trt: Any, graph: Graph, gpu: Gpu | None) -> EngineIdentity:
    """Say which engine of a graph runs here.

    Raises
    ------
    BackendUnavailableError
        There is no GPU, and this flavour builds for the one that is there.
    """
    if is_portable(trt):
        target = PORTABLE
    elif gpu is None:
        raise BackendUnavailableError(
            f"{trt.__name__} builds an engine on the GPU that will run it, and there is none here; "
            "build it there with: make engine (tensorrt-rtx needs no GPU)"
        )
    else:
        target = str(gpu)
    return EngineIdentity(graph.identity, f"{trt.__name__} {trt.__version__}", target)


def write_engine(trt: Any, graph: Graph, gpu: Gpu | None) -> Path:
    """Build the engine of a graph ahead of time and return its file.

    Raises
    ------
    BackendUnavailableError, ModelArtifactError
        See `tensorrt_builder.build_engine`.
    OSError
        The model's folder cannot be written to.
    """
    identity = to_identity(trt, graph, gpu)
    engine, timings = _build(trt, graph, identity)
    _keep(graph, identity, engine, timings)
    return identity.to_engine_path(graph)


def load_engine(trt: Any, graph: Graph, gpu: Gpu) -> Any:
    """Return a graph's engine, ready to run on this GPU; build it where there is none.

    Raises
    ------
    BackendUnavailableError
        There is no engine and no builder, or what was built does not load.
    ModelArtifactError
        The graph is missing, damaged or not in its precision.
    """
    identity = to_identity(trt, graph, gpu)
    path = identity.to_engine_path(graph)
    if path.is_file():
        engine = _deserialise(trt, path.read_bytes())
        if engine is not None:
            return engine
        logger.warning("the engine %s cannot be read; it is built again", path.name)
    if not has_builder(trt):
        raise BackendUnavailableError(
            f"There is no engine for {gpu} and {identity.runtime}, which has no builder; build "
            "one with: make engine"
        )
    logger.info("building an engine for %s with %s", gpu, identity.runtime)
    content, timings = _build(trt, graph, identity)
    engine = _deserialise(trt, content)
    if engine is None:
        raise BackendUnavailableError(
            f"The engine that {identity.runtime} has just built does not load on {gpu}; its log "
            f"says why.{TENSORRT_INSTEAD if is_portable(trt) else ''}"
        )
    try:
        _keep(graph, identity, content, timings)
    except OSError as error:  # a read-only model folder is legitimate; the next start builds again
        logger.warning("the engine could not be kept for the next start: %s", error.strerror)
    return engine


def _deserialise(trt: Any, content: bytes) -> Any:
    return trt.Runtime(to_logger(trt)).deserialize_cuda_engine(content)


def _build(trt: Any, graph: Graph, identity: EngineIdentity) -> tuple[bytes, bytes]:
    timing_path = identity.to_timing_path(graph)
    timings = timing_path.read_bytes() if timing_path.is_file() else b""
    return build_engine(trt, graph.read(), precision=graph.precision, timing_cache=timings)


def _keep(graph: Graph, identity: EngineIdentity, engine: bytes, timings: bytes) -> None:
    _write_whole(identity.to_engine_path(graph), engine)
    if timings:
        _write_whole(identity.to_timing_path(graph), timings)


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file that another process sees complete or not at all."""
    # Not by the process's number: in containers that share the folder, each writer is number 1.
    partial = path.with_name(f"{path.name}.{uuid4().hex}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:  # a full disk keeps no half of an engine
        partial.unlink(missing_ok=True)


def _to_key(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
