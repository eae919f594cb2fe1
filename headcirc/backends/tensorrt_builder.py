"""Build a TensorRT engine from an ONNX graph, with TensorRT 10 or 11 or TensorRT for RTX.

Networks are strongly typed: the graph decides the precision, not a flag. A float16 graph is refused
if any layer of the parsed network computes in float32. `tensorrt` builds on the GPU that will run
the engine. `tensorrt_rtx` builds without a GPU, for every GPU with compute capability 8.0 or higher
that it supports. This module runs no engine.
"""

import importlib
import logging
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from headcirc.errors import BackendUnavailableError, ModelArtifactError

logger = logging.getLogger("headcirc.tensorrt")

FLAVOURS = ("tensorrt", "tensorrt_rtx")
"""Modules with the same interface; the first installed one is used."""
OPTIMAL_BATCH, MAXIMUM_BATCH = 1, 8
PROFILE = f"batch 1 to {MAXIMUM_BATCH}, best at {OPTIMAL_BATCH}"


def load_flavour() -> Any:
    """Return the TensorRT module that is installed.

    Raises
    ------
    BackendUnavailableError
        TensorRT is not installed, or its libraries cannot be loaded.
    """
    name = next((each for each in FLAVOURS if find_spec(each)), None)
    if name is None:
        raise BackendUnavailableError(
            "TensorRT is not installed; install it with: pip install 'headcirc[gpu]'"
        )
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise BackendUnavailableError(
            f"{name} is installed and cannot start ({error}); install it again with: "
            "pip install 'headcirc[gpu]'"
        ) from error


def is_portable(trt: Any) -> bool:
    """Return whether engines run on many GPUs and are built without one: TensorRT for RTX."""
    return bool(trt.__name__ == "tensorrt_rtx")


def has_builder(trt: Any) -> bool:
    """Return whether TensorRT can build engines; the lean runtime can only run them."""
    return hasattr(trt, "Builder") and hasattr(trt, "OnnxParser")


@lru_cache(maxsize=1)
def to_logger(trt: Any) -> Any:
    """Return a TensorRT logger that writes to Python's log; TensorRT allows one per process."""
    severities = trt.ILogger.Severity
    levels = {
        severities.INTERNAL_ERROR: logging.CRITICAL,
        severities.ERROR: logging.ERROR,
        severities.WARNING: logging.WARNING,
    }

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            logger.log(levels.get(severity, logging.DEBUG), "%s", message)

    return Logger()


def parse_network(trt: Any, builder: Any, content: bytes) -> Any:
    """Parse the bytes of an ONNX file into a strongly typed network.

    Raises
    ------
    ModelArtifactError
        TensorRT's parser refuses the graph; the message contains its errors.
    """
    # TensorRT 10 needs the flag; in TensorRT 11 every network is strongly typed.
    flag = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flag)
    parser = trt.OnnxParser(network, to_logger(trt))
    if not parser.parse(content):
        faults = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise ModelArtifactError(
            f"{trt.__name__} refuses the model's graph: {faults} Export the model again."
        )
    return network


def find_wide_layers(trt: Any, network: Any) -> list[str]:
    """Return the names of layers that compute in a wider floating-point type than float16.

    The cast of the output to float32 is not included, because it computes nothing.
    """
    outputs = {network.get_output(i).name for i in range(network.num_outputs)}
    wide = []
    for layer in (network.get_layer(i) for i in range(network.num_layers)):
        tensors = [layer.get_output(i) for i in range(layer.num_outputs)]
        if layer.type == trt.LayerType.CAST and {each.name for each in tensors} <= outputs:
            continue
        if any(each.dtype in (trt.float32, trt.bfloat16) for each in tensors):
            wide.append(layer.name)
    return wide


def require_half(trt: Any, network: Any) -> None:
    """Check that every layer of a float16 network computes in float16.

    Raises
    ------
    ModelArtifactError
        Some layers compute in float32; the message names the first.
    """
    wide = find_wide_layers(trt, network)
    if wide:
        raise ModelArtifactError(
            f"{len(wide)} of {network.num_layers} layers of the float16 graph compute in float32, "
            f"the first is {wide[0]!r}; export the model again."
        )


def build_engine(
    trt: Any, content: bytes, *, precision: str, timing_cache: bytes = b""
) -> tuple[bytes, bytes]:
    """Build an engine.

    Parameters
    ----------
    trt : module
        From `load_flavour`.
    content : bytes
        ONNX file with one input (n, 1, h, w); n is dynamic, the other sizes are fixed.
    precision : str
        Stated precision of the graph; `fp16` is checked.
    timing_cache : bytes
        Measurements of earlier builds by `tensorrt`. TensorRT for RTX measures nothing during a
        build and ignores them.

    Returns
    -------
    engine, timing_cache : bytes
        The serialised engine, and the cache after the build.

    Raises
    ------
    ModelArtifactError
        The graph cannot be read, or is not in the stated precision.
    BackendUnavailableError
        TensorRT could not build the engine here; its log has the reason.
    """
    builder = trt.Builder(to_logger(trt))
    network = parse_network(trt, builder, content)
    if precision == "fp16":
        require_half(trt, network)
    config = _to_config(trt, builder, network.get_input(0))
    # TensorRT for RTX measures nothing, and would look for a GPU if it were given a cache.
    cache = None if is_portable(trt) else attach_timing_cache(config, timing_cache)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise BackendUnavailableError(
            f"{trt.__name__} {trt.__version__} could not build an engine; see its log."
        )
    return bytes(memoryview(engine)), b"" if cache is None else bytes(memoryview(cache.serialize()))


def _to_config(trt: Any, builder: Any, network_input: Any) -> Any:
    config = builder.create_builder_config()
    # The engine inspector can then report the precision of every layer.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    # Keep full float32 precision, as on the CPU.
    config.clear_flag(trt.BuilderFlag.TF32)
    if is_portable(trt):  # CUDA graph capture needs memory that we allocated
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
    grid = tuple(network_input.shape)[1:]
    profile = builder.create_optimization_profile()
    profile.set_shape(
        network_input.name, (1, *grid), (OPTIMAL_BATCH, *grid), (MAXIMUM_BATCH, *grid)
    )
    config.add_optimization_profile(profile)
    return config


def attach_timing_cache(config: Any, content: bytes) -> Any:
    """Attach a timing cache to a build; use an empty one if TensorRT refuses `content`."""
    cache = config.create_timing_cache(content)
    if not config.set_timing_cache(cache, ignore_mismatch=False):
        logger.warning("the timing cache is damaged or from another machine; starting a new one")
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    return cache
