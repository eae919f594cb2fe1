"""The network in ONNX Runtime's CUDA provider: the second road to an NVIDIA GPU.

ONNX Runtime goes on with the CPU where CUDA cannot start, and says so only in its log; here that is
an error.
"""

from headcirc.backends.base import Runtime
from headcirc.backends.gpu import require_gpu
from headcirc.backends.onnxruntime import OnnxRuntimeBackend, open_session, to_options
from headcirc.errors import BackendUnavailableError
from headcirc.model.graph import Graph

RUNTIME = Runtime(
    "onnxruntime-cuda",
    ("onnxruntime",),
    extra="gpu",
    precisions=("fp16", "fp32"),
    is_automatic=False,  # the CPU build of ONNX Runtime has the same import name
)
PROVIDER = "CUDAExecutionProvider"


def load(graph: Graph, *, threads: int) -> OnnxRuntimeBackend:
    """Load the model onto the GPU.

    Raises
    ------
    BackendUnavailableError
        No GPU, the CPU build of ONNX Runtime, or CUDA's libraries do not load.
    """
    import onnxruntime

    if PROVIDER not in onnxruntime.get_available_providers():
        raise BackendUnavailableError(
            "The ONNX Runtime that is installed has no CUDA provider: it is the CPU build. Install "
            "onnxruntime-gpu in its place: pip install 'headcirc[gpu]'"
        )
    gpu = require_gpu()
    onnxruntime.preload_dlls()  # CUDA and cuDNN from their own wheels, where those are installed
    settings = {"use_tf32": "0"}  # where the graph is float32, float32 is meant, as on the CPU
    session = open_session(graph, to_options(threads), (PROVIDER, settings))
    session.disable_fallback()  # nor may a later error move it to the CPU
    return OnnxRuntimeBackend(session, graph.precision, name="onnxruntime-cuda", device=gpu.name)
