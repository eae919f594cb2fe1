"""An explain graph with known outputs."""

from onnx import TensorProto, helper

from tests.support.synthetic import FACTS


def make_explain_graph() -> bytes:
    """Return a graph with known outputs: brightness, its inverse, and one half.

    `bottleneck` is the brightness in cells of 16 pixels, `decoder-64` is 1 - brightness, and the
    gate's coefficients, `attention-64`, are 0.5 everywhere.
    """
    constants = {
        "sd": FACTS.standard_deviation, "mean": FACTS.mean, "zero": 0.0, "one": 1.0, "half": 0.5,
    }  # fmt: skip
    weights = [
        helper.make_tensor(name, TensorProto.FLOAT, [], [value])
        for name, value in constants.items()
    ]
    nodes = [
        helper.make_node("Mul", ["network_input", "sd"], ["scaled"]),
        helper.make_node("Add", ["scaled", "mean"], ["grey"]),
        helper.make_node("Clip", ["grey", "zero", "one"], ["probability_map"]),
        helper.make_node(
            "AveragePool", ["probability_map"], ["bottleneck"], kernel_shape=[16, 16],
            strides=[16, 16],
        ),
        helper.make_node("Sub", ["one", "probability_map"], ["decoder-64"]),
        helper.make_node("Mul", ["probability_map", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "half"], ["attention-64"]),
    ]  # fmt: skip
    sizes = {"probability_map": 256, "bottleneck": 16, "decoder-64": 256, "attention-64": 256}
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, size, size])
        for name, size in sizes.items()
    ]
    taken = helper.make_tensor_value_info("network_input", TensorProto.FLOAT, ["n", 1, 256, 256])
    graph = helper.make_graph(nodes, "known", [taken], outputs, weights)
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()
