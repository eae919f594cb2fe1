"""Convert an FP32 ONNX graph to FP16, for GPUs.

Weights and arithmetic become float16; inputs and outputs stay float32. ONNX Runtime does the
conversion. It includes every layer, also the sigmoid: TensorRT 11 takes the precision from the
graph, so any layer left in float32 would run in float32.
"""

from pathlib import Path

import onnx
from onnxruntime import GraphOptimizationLevel
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from headcirc.backends.onnxruntime import OnnxRuntimeBackend, load
from headcirc.model.graph import Graph


def write_fp16(source: Path, path: Path) -> None:
    """Convert a graph.

    Parameters
    ----------
    source : Path
        The float32 ONNX file.
    path : Path
        File to write; inputs and outputs stay float32.

    Raises
    ------
    ValueError
        A tensor other than the inputs and outputs would stay float32.
    """
    converted = convert_float_to_float16(onnx.load(source), keep_io_types=True, op_block_list=[])
    graph = OnnxModel(converted)
    graph.topological_sort()  # the converter appends the casts of inputs and outputs at the end
    wide = find_float32_tensors(graph.model)
    if wide:
        raise ValueError(
            f"{len(wide)} tensors of the converted graph are float32; the first is {wide[0]!r}. "
            "Only its inputs and outputs may be float32."
        )
    onnx.checker.check_model(graph.model, full_check=True)
    path.write_bytes(graph.model.SerializeToString(deterministic=True))


def find_float32_tensors(model: onnx.ModelProto) -> list[str]:
    """Return the names of float32 weights and intermediate results, without inputs and outputs."""
    ends = {each.name for each in (*model.graph.input, *model.graph.output)}
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    float32 = onnx.TensorProto.FLOAT
    weights = [each.name for each in inferred.initializer if each.data_type == float32]
    between = [
        each.name for each in inferred.value_info if each.type.tensor_type.elem_type == float32
    ]
    return [name for name in (*weights, *between) if name not in ends]


def load_rounded(graph: Graph, *, threads: int) -> OnnxRuntimeBackend:
    """Load a float16 graph on the CPU so that every layer's result is rounded to float16.

    This emulates a GPU. With optimisations, ONNX Runtime removes the casts between layers and only
    rounds the weights. Sums within a layer are float32 here; on a GPU their precision may be lower.
    """
    return load(graph, threads=threads, optimisation=GraphOptimizationLevel.ORT_DISABLE_ALL)
