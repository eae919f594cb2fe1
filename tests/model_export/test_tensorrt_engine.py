import onnx
import pytest
import tensorrt_rtx as trt
import torch

from headcirc.backends.tensorrt_builder import (
    MAXIMUM_BATCH,
    build_engine,
    find_wide_layers,
    parse_network,
    to_logger,
)
from headcirc.errors import ModelArtifactError
from model_export.fp16 import write_fp16
from model_export.onnx_graph import write_onnx
from training.data.hc18 import to_input_facts
from training.networks.attention_resunet import HALF_TIME, AttentionResUNet

OVERHEAD_BYTES = 1_500_000
"""What an engine holds beside weights: 0.9 MB at width 16, 1.0 MB at width 64."""
NETWORKS = {"half-time": HALF_TIME | {"head_plane": True}, "width-64": {"width": 64}}
"""Options of the network that ships, and of the paper's."""


@pytest.fixture(
    scope="module", params=["half-time", pytest.param("width-64", marks=pytest.mark.slow)]
)
def graphs(request, tmp_path_factory):
    """Return the FP32 and FP16 graphs of one network, weights at random."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp(request.param)
    network = AttentionResUNet(**NETWORKS[request.param]).eval()
    write_onnx(network, folder / "fp32.onnx", to_input_facts())
    write_fp16(folder / "fp32.onnx", folder / "fp16.onnx")
    return {each: (folder / f"{each}.onnx").read_bytes() for each in ("fp32", "fp16")}


def count_weights(content):
    sizes = [each.dims for each in onnx.load_from_string(content).graph.initializer]
    return sum(int(torch.Size(size).numel()) for size in sizes)


def test_every_layer_is_float16_except_the_casts_of_inputs_and_outputs(graphs):
    """TensorRT's parser finds float16 everywhere; in the FP32 graph it finds it nowhere."""
    builder = trt.Builder(to_logger(trt))
    half = parse_network(trt, builder, graphs["fp16"])
    ends = [half.get_layer(i) for i in (0, half.num_layers - 1)]
    assert [layer.type for layer in ends] == [trt.LayerType.CAST] * 2
    assert find_wide_layers(trt, half) == []
    control = parse_network(trt, builder, graphs["fp32"])
    # Some layers compute shapes, which are integers in both graphs.
    assert len(find_wide_layers(trt, control)) > 0.9 * control.num_layers > 90


def test_engine_has_the_size_of_float16_weights(graphs):
    """The FP16 engine is two bytes a weight and a little; the FP32 engine fails the same check."""
    weights_bytes = 2 * count_weights(graphs["fp16"])
    sizes = {
        each: len(build_engine(trt, content, precision=each)[0]) for each, content in graphs.items()
    }
    assert weights_bytes < sizes["fp16"] < 1.05 * weights_bytes + OVERHEAD_BYTES
    assert sizes["fp32"] > 1.05 * weights_bytes + OVERHEAD_BYTES


def test_float32_graph_named_float16_is_not_built(graphs):
    """The builder checks the precision, not the file name."""
    with pytest.raises(ModelArtifactError, match="layers of the float16 graph compute in float32"):
        build_engine(trt, graphs["fp32"], precision="fp16")


def test_largest_batch_is_eight():
    """The documentation states batches of 1 to 8."""
    assert MAXIMUM_BATCH == 8
