"""ONNX graph to TensorRT engine, by TensorRT 10 or 11 or by TensorRT for RTX.

Networks are strongly typed: the precision is the graph's, never a flag's, and a float16 graph whose
parsed network computes anything in float32 is refused. Building for `tensorrt` needs the GPU that
will run the engine; `tensorrt_rtx` builds without one, for every GPU from compute capability 8.0
that it knows. This module runs nothing.
"""

import importlib
import logging
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from headcirc.errors import BackendUnavailableError, ModelArtifactError

logger = logging.getLogger("headcirc.tensorrt")

FLAVOURS = ("tensorrt", "tensorrt_rtx")
"""Modules with the same interface; the first that is installed is taken."""
OPTIMAL_BATCH, MAXIMUM_BATCH = 1, 8
PROFILE = f"batch 1 to {MAXIMUM_BATCH}, best at {OPTIMAL_BATCH}"


def load_flavour() -> Any:
    """Return the TensorRT module that is installed.

    Raises
    ------
    BackendUnavailableError
        None is, or its libraries cannot be loaded.
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
    """Return whether engines are made for many GPUs, without one: TensorRT for RTX."""
    return bool(trt.__name__ == "tensorrt_rtx")


def has_builder(trt: Any) -> bool:
    """Return whether engines can be built: the lean runtime only runs them."""
    return hasattr(trt, "Builder") and hasattr(trt, "OnnxParser")


@lru_cache(maxsize=1)
def to_logger(trt: Any) -> Any:
    """Return the one logger that TensorRT allows a process; it writes to Python's log."""
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
    """Return the strongly typed network of an ONNX file's bytes.

    Raises
    ------
    ModelArtifactError
        TensorRT's parser does not take the graph; the message has its words.
    """
    # TensorRT 11 types every network strongly and ignores the flag; 10 needs it.
    flag = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flag)
    parser = trt.OnnxParser(network, to_logger(trt))
    if not parser.parse(content):
        faults = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise ModelArtifactError(
            f"{trt.__name__} refuses the model's graph; export the model again. It says: {faults}"
        )
    return network


def find_wide_layers(trt: Any, network: Any) -> list[str]:
    """Return the layers that compute floating-point numbers wider than float16.

    The cast that hands the answer out in float32 is none of them: it computes nothing.
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
    """Refuse a network that calls itself float16 and computes something else.

    Raises
    ------
    ModelArtifactError
        Names the first of its layers.
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
        Of the ONNX file: one input (n, 1, h, w) and one output, n open, the rest fixed.
    precision : str
        What the graph is said to compute in; `fp16` is proven.
    timing_cache : bytes
        What `tensorrt` measured in earlier builds. TensorRT for RTX measures nothing when it
        builds, and would look for a GPU if it were given one.

    Returns
    -------
    engine, timing_cache : bytes
        The cache as it is after the build.

    Raises
    ------
    ModelArtifactError
        The graph cannot be read, or is not in that precision.
    BackendUnavailableError
        TensorRT could not build it here; its own words are in the log.
    """
    builder = trt.Builder(to_logger(trt))
    network = parse_network(trt, builder, content)
    if precision == "fp16":
        require_half(trt, network)
    config = _to_config(trt, builder, network.get_input(0))
    cache = None if is_portable(trt) else _attach_timing_cache(config, timing_cache)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise BackendUnavailableError(
            f"{trt.__name__} {trt.__version__} could not build an engine; its log says why."
        )
    return bytes(memoryview(engine)), b"" if cache is None else bytes(memoryview(cache.serialize()))


def _to_config(trt: Any, builder: Any, network_input: Any) -> Any:
    config = builder.create_builder_config()
    # So that the engine inspector can tell the precision of every layer later on.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    # Where a float32 graph is built, float32 is meant, as on the CPU.
    config.clear_flag(trt.BuilderFlag.TF32)
    if is_portable(trt):  # a CUDA graph can only be captured from memory that we hold
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
    grid = tuple(network_input.shape)[1:]
    profile = builder.create_optimization_profile()
    profile.set_shape(
        network_input.name, (1, *grid), (OPTIMAL_BATCH, *grid), (MAXIMUM_BATCH, *grid)
    )
    config.add_optimization_profile(profile)
    return config


def _attach_timing_cache(config: Any, content: bytes) -> Any:
    cache = config.create_timing_cache(content)
    if not config.set_timing_cache(cache, ignore_mismatch=False):
        logger.warning("the timing cache is another machine's or damaged; a new one is begun")
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    return cache
