from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from headcirc.geometry import PixelSpacing
from headcirc.model.prediction import Prediction
from headcirc.pipeline import load_pipeline
from model_export.fp16 import find_float32_tensors, load_rounded, write_fp16
from model_export.onnx_graph import INPUT_NAME, OUTPUT_NAME
from model_export.parity import ParityError, measure_agreement

EXAMPLES = [(Path("examples/phantom.png"), PixelSpacing(0.1277, 0.1277))]


@pytest.fixture(scope="module")
def fp16_path(tiny_model_dir, tmp_path_factory):
    path = tmp_path_factory.mktemp("fp16") / "model.fp16.onnx"
    write_fp16(tiny_model_dir / "model.onnx", path)
    return path


def test_only_inputs_and_outputs_are_float32(fp16_path):
    """Weights and layers are float16; callers see the names and types of the float32 graph."""
    graph = onnx.load(fp16_path).graph
    ends = {each.name: each.type.tensor_type.elem_type for each in (*graph.input, *graph.output)}
    assert ends == {INPUT_NAME: onnx.TensorProto.FLOAT, OUTPUT_NAME: onnx.TensorProto.FLOAT}
    assert {each.data_type for each in graph.initializer} == {onnx.TensorProto.FLOAT16}
    assert [node.op_type for node in graph.node].count("Cast") == 2
    assert find_float32_tensors(onnx.load(fp16_path)) == []


def test_float32_tensors_are_found(tiny_model_dir):
    """The same check finds every weight and layer of the float32 graph."""
    model = onnx.load(tiny_model_dir / "model.onnx")
    found = find_float32_tensors(model)
    assert {each.name for each in model.graph.initializer} <= set(found)
    assert len(found) > len(model.graph.node)


def test_conversion_is_reproducible(tiny_model_dir, fp16_path, tmp_path):
    """The same graph gives the same bytes, so the manifest's SHA-256 stays."""
    write_fp16(tiny_model_dir / "model.onnx", tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == fp16_path.read_bytes()


@pytest.mark.parametrize("batch", [1, 3])
def test_float16_probabilities_are_close_to_float32(tiny_model_dir, fp16_path, batch):
    """They differ by little, but not by zero."""
    network_input = np.random.default_rng(batch).normal(size=(batch, 1, 32, 32)).astype(np.float32)
    exact, half = (
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
            None, {INPUT_NAME: network_input}
        )[0]
        for path in (tiny_model_dir / "model.onnx", fp16_path)
    )
    assert half.dtype == np.float32
    assert half.shape == exact.shape
    assert 0 < np.abs(half - exact).max() < 0.02


def test_shipped_model_agrees_in_float16(fp16_graph):
    """The example's circumference in float16, each layer rounded, is within 0.5 mm of float32."""
    reference = load_pipeline(backend="onnxruntime", precision="fp32")
    agreement = measure_agreement(reference, load_rounded(fp16_graph, threads=1), EXAMPLES)
    assert agreement.images == 1
    assert agreement.largest_difference_mm < 0.5
    assert agreement.to_facts()["difference_95th_percentile_mm"] < 0.5


def test_float16_graph_that_finds_no_head_is_refused():
    """A float16 graph that sees no head where float32 sees one raises ParityError."""

    class Blind:
        name, precision, device = "blind", "fp16", "cpu"

        def infer(self, network_input):
            return [Prediction(np.zeros_like(each[0])) for each in network_input]

    reference = load_pipeline(backend="onnxruntime", precision="fp32")
    with pytest.raises(ParityError, match="blind fp16 differs too much"):
        measure_agreement(reference, Blind(), EXAMPLES)
