"""FP32 ONNX graph to FP16, for GPUs: arithmetic and weights in float16, ends in float32.

The conversion is ONNX Runtime's own. Every layer goes to float16 without exception, the sigmoid
too: TensorRT 11 takes the precision from the graph, so what stays in float32 here would run in it.
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
        Of the file to write; inputs and outputs stay float32.

    Raises
    ------
    ValueError
        Something floating-point would stay in float32 between the two end casts.
    """
    converted = convert_float_to_float16(onnx.load(source), keep_io_types=True, op_block_list=[])
    graph = OnnxModel(converted)
    graph.topological_sort()  # the converter puts the end casts last
    wide = find_float32_tensors(graph.model)
    if wide:
        raise ValueError(
            f"{len(wide)} tensors of the converted graph are float32, the first is {wide[0]!r}; "
            "only its inputs and outputs may be."
        )
    onnx.checker.check_model(graph.model, full_check=True)
    path.write_bytes(graph.model.SerializeToString(deterministic=True))


def find_float32_tensors(model: onnx.ModelProto) -> list[str]:
    """Return the float32 weights and intermediate results by name; inputs and outputs are none."""
    ends = {each.name for each in (*model.graph.input, *model.graph.output)}
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    float32 = onnx.TensorProto.FLOAT
    weights = [each.name for each in inferred.initializer if each.data_type == float32]
    between = [
        each.name for each in inferred.value_info if each.type.tensor_type.elem_type == float32
    ]
    return [name for name in (*weights, *between) if name not in ends]


def load_rounded(graph: Graph, *, threads: int) -> OnnxRuntimeBackend:
    """Run a float16 graph on the CPU as a GPU would: every layer's result is rounded to float16.

    With its optimisations on, ONNX Runtime drops the casts between layers and rounds weights only.
    Sums within a layer are float32 here; a GPU's may be shorter.
    """
    return load(graph, threads=threads, optimisation=GraphOptimizationLevel.ORT_DISABLE_ALL)
