"""Write a chain of large matrix products as an ONNX graph, to measure a runtime's peak rate.

Comparing a network with the matrix products on the same machine shows how far it is from the peak;
a data sheet does not. Input and output are single rows, so copies take little time. For int8 the
chain is quantised like the network: static quantise-dequantise pairs, uint8 activations, int8
weights.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 20, 10
PRODUCTS = 4
SIDES = {"cpu": 2048, "gpu": 8192}
INPUT_NAME, OUTPUT_NAME = "network_input", "probability_map"
ACTIVATION_SCALE, ACTIVATION_ZERO = 0.03, 128
"""Activations are nearly standard normal; this scale represents the range from -3.8 to 3.8."""
Nodes = list[onnx.NodeProto]
Constants = dict[str, np.ndarray]


def write_gemm(path: Path, device: str, precision: str) -> tuple[int, float]:
    """Write the chain for a device and a precision.

    Returns
    -------
    side : int
        Input and output are (1, 1, 1, side) float32.
    gflop : float
        GFLOP of one run; a product has 2 side^3 operations.
    """
    side = SIDES[device]
    nodes, constants = _to_int8_chain(side) if precision == "int8" else _to_chain(side, precision)
    shape = [1, 1, 1, side]
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return side, 2 * PRODUCTS * side**3 / 1e9


def _to_matrix(side: int) -> np.ndarray:
    """Return a matrix whose products keep the variance of their input."""
    values = np.random.default_rng(0).standard_normal((side, side), np.float32)
    return values / np.float32(np.sqrt(side))


def _to_chain(side: int, precision: str) -> tuple[Nodes, Constants]:
    """Return the nodes and constants: expand the row by adding, multiply, reduce by maximum."""
    kind = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.FLOAT
    matrix = _to_matrix(side).astype(helper.tensor_dtype_to_np_dtype(kind))
    nodes = [
        helper.make_node("Cast", [INPUT_NAME], ["row"], to=kind),
        helper.make_node("Add", ["row", "matrix"], ["product_0"]),
    ]
    for at in range(PRODUCTS):
        inputs, outputs = [f"product_{at}", "matrix"], [f"product_{at + 1}"]
        nodes.append(helper.make_node("MatMul", inputs, outputs))
    nodes += [
        helper.make_node("ReduceMax", [f"product_{PRODUCTS}", "rows"], ["greatest"]),
        helper.make_node("Cast", ["greatest"], [OUTPUT_NAME], to=TensorProto.FLOAT),
    ]
    return nodes, {"matrix": matrix, "rows": np.array([-2])}


def _to_int8_chain(side: int) -> tuple[Nodes, Constants]:
    """Return the nodes and constants with a quantise-dequantise pair before every operand."""
    matrix = _to_matrix(side)
    scale = np.float32(np.abs(matrix).max() / 127)
    constants = {
        "matrix": matrix,
        "weights": np.clip(np.rint(matrix / scale), -127, 127).astype(np.int8),
        "weight_scale": np.array(scale),
        "weight_zero": np.array(0, np.int8),
        "scale": np.array(ACTIVATION_SCALE, np.float32),
        "zero": np.array(ACTIVATION_ZERO, np.uint8),
        "rows": np.array([-2]),
    }
    nodes = [
        helper.make_node("Add", [INPUT_NAME, "matrix"], ["product_0"]),
        helper.make_node(
            "DequantizeLinear", ["weights", "weight_scale", "weight_zero"], ["operand"]
        ),
    ]
    for at in range(PRODUCTS + 1):
        nodes += [
            helper.make_node("QuantizeLinear", [f"product_{at}", "scale", "zero"], [f"short_{at}"]),
            helper.make_node("DequantizeLinear", [f"short_{at}", "scale", "zero"], [f"long_{at}"]),
        ]
        if at < PRODUCTS:
            inputs, outputs = [f"long_{at}", "operand"], [f"product_{at + 1}"]
            nodes.append(helper.make_node("MatMul", inputs, outputs))
    nodes.append(helper.make_node("ReduceMax", [f"long_{PRODUCTS}", "rows"], [OUTPUT_NAME]))
    return nodes, constants
