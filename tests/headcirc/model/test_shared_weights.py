import hashlib
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from headcirc.errors import ModelArtifactError
from headcirc.model.graph import Graph
from headcirc.model.shared_weights import ROTATED_SUFFIX, fill_weights, rotate_kernel

KERNEL = np.arange(2 * 3 * 3 * 3, dtype=np.float32).reshape(2, 3, 3, 3)
BIAS = np.array([0.5, -1.5], np.float32)


def make_model(nodes, weights):
    """Return the bytes of a model of one input and one output, both of any size."""
    shape = [1, None, None, None]
    ends = [helper.make_tensor_value_info(each, TensorProto.FLOAT, shape) for each in "xy"]
    graph = helper.make_graph(nodes, "test", ends[:1], ends[1:], weights)
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()


def make_source(kernel=KERNEL):
    """Return a convolution of three channels to two, its weights in it."""
    node = helper.make_node("Conv", ["x", "kernel", "bias"], ["y"], pads=[1, 1, 1, 1])
    held = [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(BIAS, "bias")]
    return make_model([node], held)


def make_named(name, shape, kind=TensorProto.FLOAT):
    """Return a convolution whose kernel is only named."""
    node = helper.make_node("Conv", ["x", name], ["y"], pads=[1, 1, 1, 1])
    return make_model([node], [TensorProto(name=name, dims=shape, data_type=kind)])


def read_weights(content):
    graph = onnx.load_from_string(content).graph
    return {each.name: numpy_helper.to_array(each) for each in graph.initializer}


def test_named_weight_is_filled_in():
    """The completed graph is valid and has the source's values; nothing else changes."""
    named = make_named("kernel", KERNEL.shape)
    whole = fill_weights(named, make_source())
    model = onnx.load_from_string(whole)
    onnx.checker.check_model(model, full_check=True)
    assert (read_weights(whole)["kernel"] == KERNEL).all()
    del model.graph.initializer[:]
    skeleton = onnx.load_from_string(named)
    del skeleton.graph.initializer[:]
    assert model == skeleton


def test_rotated_kernel_gives_the_convolution_s_gradient():
    """<conv(x), g> = <x, conv(g, rotated)> for any x and g, which defines the gradient."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(1, 3, 5, 6)).astype(np.float32)
    g = generator.normal(size=(1, 2, 5, 6)).astype(np.float32)
    plain = fill_weights(make_named("kernel", KERNEL.shape), make_source())
    rotated = fill_weights(make_named("kernel" + ROTATED_SUFFIX, (3, 2, 3, 3)), make_source())
    (forward,) = ReferenceEvaluator(onnx.load_from_string(plain)).run(None, {"x": x})
    (backward,) = ReferenceEvaluator(onnx.load_from_string(rotated)).run(None, {"x": g})
    assert (forward * g).sum() == pytest.approx((x * backward).sum(), rel=1e-5)


def test_rotating_a_kernel_twice_restores_it():
    """Rotation by 180 degrees is its own inverse."""
    assert (rotate_kernel(rotate_kernel(KERNEL)) == KERNEL).all()
    assert rotate_kernel(KERNEL)[0, 1, 0, 0] == KERNEL[1, 0, 2, 2]


def test_float16_weights_are_filled_in():
    """Values are copied as bytes, for any type."""
    kernel = KERNEL.astype(np.float16)
    named = make_named("kernel" + ROTATED_SUFFIX, (3, 2, 3, 3), TensorProto.FLOAT16)
    found = read_weights(fill_weights(named, make_source(kernel)))["kernel" + ROTATED_SUFFIX]
    assert found.dtype == np.float16
    assert (found == rotate_kernel(kernel)).all()


def test_graph_with_its_own_weights_is_unchanged():
    """A complete file is returned byte by byte."""
    source = make_source()
    assert fill_weights(source, make_source(KERNEL + 1)) == source


def test_missing_source_weight_is_an_error():
    """No other weight is used instead."""
    with pytest.raises(KeyError, match="stranger"):
        fill_weights(make_named("stranger", KERNEL.shape), make_source())


@pytest.fixture
def graph(tmp_path):
    """Return a graph that takes its weights from another file."""
    files = {"source.onnx": make_source(), "named.onnx": make_named("kernel", KERNEL.shape)}
    graphs = {}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        graphs[name] = Graph("fp32", tmp_path / name, hashlib.sha256(content).hexdigest())
    return replace(graphs["named.onnx"], weights=graphs["source.onnx"])


def test_graph_reads_with_its_weights(graph):
    """The graph is complete, and its identity depends on the weights."""
    assert (read_weights(graph.read())["kernel"] == KERNEL).all()
    assert graph.identity == f"{graph.sha256}+{graph.weights.sha256}"
    other = replace(graph, weights=replace(graph.weights, sha256="0" * 64))
    assert graph.identity != other.identity


@pytest.mark.parametrize("damaged", ["source.onnx", "named.onnx"])
def test_damage_of_either_file_is_detected(graph, damaged):
    """An additional byte in the graph or in its weights is an error."""
    with (graph.path.parent / damaged).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelArtifactError, match=f"'{damaged}' has SHA-256"):
        graph.read()


@pytest.mark.parametrize("content", [b"no graph", make_named("stranger", KERNEL.shape)])
def test_file_that_cannot_take_weights_is_refused(graph, content):
    """An invalid graph or an unknown weight is a ModelArtifactError."""
    graph.path.write_bytes(content)
    with pytest.raises(ModelArtifactError, match=r"cannot be combined .* 'source\.onnx'"):
        replace(graph, sha256=hashlib.sha256(content).hexdigest()).read()
