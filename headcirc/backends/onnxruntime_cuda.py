"""Run the network with ONNX Runtime's CUDA provider, the alternative to TensorRT on NVIDIA GPUs.

If CUDA cannot start, ONNX Runtime continues on the CPU and only logs it. This backend raises an
error instead.
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
        There is no GPU, the CPU build of ONNX Runtime is installed, or CUDA's libraries do not
        load.
    """
    import onnxruntime

    if PROVIDER not in onnxruntime.get_available_providers():
        raise BackendUnavailableError(
            "The installed ONNX Runtime is the CPU build and has no CUDA provider. Install "
            "onnxruntime-gpu instead: pip install 'headcirc[gpu]'"
        )
    gpu = require_gpu()
    onnxruntime.preload_dlls()  # load CUDA and cuDNN from their wheels, if installed
    settings = {"use_tf32": "0"}  # keep full float32 precision, as on the CPU
    session = open_session(graph, to_options(threads), (PROVIDER, settings))
    session.disable_fallback()  # a later error must not move it to the CPU either
    return OnnxRuntimeBackend(session, graph.precision, name="onnxruntime-cuda", device=gpu.name)
