import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import tensorrt_rtx as trt
import torch
from captum.attr import LayerGradCam

from examples.phantom import draw_phantom, load_parameters
from headcirc.backends.registry import load_explain_backend
from headcirc.backends.tensorrt_builder import build_engine, find_wide_layers, parse_network
from headcirc.backends.tensorrt_builder import to_logger as to_trt_logger
from headcirc.model.manifest import MANIFEST_NAME, load_manifest, to_attention_output
from headcirc.network_input import to_network_input
from headcirc.pipeline import SHIPPED_MODEL_DIR, load_pipeline
from model_export.__main__ import main, write_manifest
from model_export.explain import ATTENTION_LEVELS, LAYERS, OUTPUT_NAMES, to_grad_cam, to_mask_logits
from model_export.explain_parity import (
    MAXIMUM_SHARE_OF_RANGE,
    compute_reference_maps,
    measure_explain_parity,
    to_share_of_range,
)
from model_export.fp16 import load_rounded
from model_export.onnx_graph import INPUT_NAME, OUTPUT_NAME
from model_export.parity import ParityError
from training.checkpoint import find_checkpoint, load_trained

PHANTOMS = (0, 7, 13)
BACKENDS = ("onnxruntime", "openvino")


@pytest.fixture(scope="module")
def manifest(explain_model_dir):
    return load_manifest(explain_model_dir)


@pytest.fixture(scope="module")
def content(manifest):
    return manifest.explain.graphs["fp32"].read()


@pytest.fixture(scope="module")
def network(manifest):
    return load_trained(find_checkpoint(SHIPPED_MODEL_DIR))


@pytest.fixture(scope="module")
def inputs(manifest):
    """Return three phantoms as the network sees them."""
    every = load_parameters()
    return [to_network_input(draw_phantom(every[i]), manifest.input)[0] for i in PHANTOMS]


@pytest.fixture(scope="module")
def references(manifest, network, inputs):
    """Return torch's own maps of the phantoms."""
    threshold = manifest.mask.threshold
    return [compute_reference_maps(network, each, threshold=threshold) for each in inputs]


@pytest.fixture(scope="module")
def captum_maps(network, inputs, references):
    """Return Captum's maps of the phantoms, by layer."""
    layers = dict(zip(LAYERS, (network.bottleneck, *network.decoder), strict=True))
    maps = []
    for network_input, reference in zip(inputs, references, strict=True):
        head = torch.from_numpy(reference[OUTPUT_NAME] > 0.5)

        def to_score(pictures, head=head):
            return to_mask_logits(network(pictures))[head].mean()[None]

        pictures = torch.from_numpy(network_input)
        attributed = {
            name: LayerGradCam(to_score, layer).attribute(pictures, relu_attributions=True)
            for name, layer in layers.items()
        }
        maps.append(
            {name: (each / each.max()).detach().numpy() for name, each in attributed.items()}
        )
    return maps


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request, manifest):
    return load_explain_backend(request.param, manifest, threads=1)


def test_graph_has_inference_operators_only(content):
    """Valid, named outputs, dynamic batch, no path of this machine, no unusual operator."""
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert [each.name for each in model.graph.input] == [INPUT_NAME]
    assert tuple(each.name for each in model.graph.output) == OUTPUT_NAMES
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    kinds = {node.op_type for node in model.graph.node}
    assert kinds <= {
        "Add", "Cast", "Concat", "Conv", "ConvTranspose", "DepthToSpace", "Div", "Greater",
        "LessOrEqual", "MaxPool", "Mul", "ReduceMax", "ReduceMean", "ReduceSum", "Relu", "Reshape",
        "Sigmoid", "Slice", "Sub", "Transpose", "Where",
    }  # fmt: skip
    paths = [str(Path.cwd()), sys.prefix, str(Path.home()) + "/", "site-packages", ".py"]
    for weights in model.graph.initializer:
        weights.ClearField("raw_data")  # among millions of random bytes, some spell `.py`
    written = model.SerializeToString()
    assert [path for path in paths if path.encode() in written] == []


def test_no_transposed_convolution_has_stride_one(content):
    """Only the four upsamplings are transposed: OpenVINO silently computes others wrongly."""
    nodes = onnx.load_from_string(content).graph.node
    strides = [
        tuple(attribute.ints)
        for node in nodes
        if node.op_type == "ConvTranspose"
        for attribute in node.attribute
        if attribute.name == "strides"
    ]
    assert strides == [(2, 2)] * 4


def test_maps_match_torchs_autograd(backend, inputs, references):
    """Every output differs from autograd by at most 1e-3 of its range."""
    for network_input, expected in zip(inputs, references, strict=True):
        found = backend.infer_all(network_input)
        assert set(found) == set(OUTPUT_NAMES) == set(expected)
        for name, values in expected.items():
            assert found[name].shape == values.shape
            assert np.ptp(values) > 0.1, f"{name} says nothing"
            assert to_share_of_range(found[name], values) <= MAXIMUM_SHARE_OF_RANGE, name


@pytest.mark.slow
def test_maps_match_captum(backend, inputs, captum_maps):
    """Captum's Grad-CAM of the mean logit over the head, over its maximum, is the same map."""
    for network_input, expected in zip(inputs, captum_maps, strict=True):
        found = backend.infer_all(network_input)
        for layer in LAYERS:
            share = to_share_of_range(found[layer], expected[layer])
            assert share <= MAXIMUM_SHARE_OF_RANGE, layer


def test_last_decoder_level_is_nearly_the_logit_map(network, inputs, references):
    """It is not the default: its Grad-CAM is nearly the logits without their bias, clipped at 0.

    Each place of the level gives the logits of 2x2 pixels, and their mean is expected. It would be
    exact if the head had as many pixels of each of the four positions.
    """
    convolution, _ = network.head
    with torch.no_grad():
        logits = to_mask_logits(network(torch.from_numpy(inputs[0])))
        means = torch.nn.functional.avg_pool2d(logits, 2) - convolution.bias.mean()
    expected = means.clamp(min=0) / means.max()
    assert to_share_of_range(references[0]["decoder-64"], expected.numpy()[:, 0]) < 0.01


def test_batch_gives_the_maps_of_single_pictures(backend, inputs):
    """Three pictures at once give the same maps as one by one."""
    together = backend.infer_all(np.concatenate(inputs))
    for index, network_input in enumerate(inputs):
        for name, values in backend.infer_all(network_input).items():
            assert to_share_of_range(together[name][index], values[0]) < 1e-4, name


def test_picture_without_a_head_has_empty_maps(backend, manifest):
    """A black picture: no pixel passes the threshold, each map is zero, and nothing is NaN."""
    black, _ = to_network_input(np.zeros((540, 800), np.uint8), manifest.input)
    found = backend.infer_all(black)
    assert 0 < found[OUTPUT_NAME].max() < manifest.mask.threshold
    for layer in LAYERS:
        assert (found[layer] == 0).all(), layer
    for level in ATTENTION_LEVELS:
        assert np.isfinite(found[to_attention_output(level)]).all()


def test_map_that_is_negative_everywhere_is_empty():
    """Features with negative weights only give zeros, not 0 / 0."""
    features, gradients = torch.ones(2, 3, 4, 4), -torch.ones(2, 3, 4, 4)
    gradients[1] *= -1
    maps = to_grad_cam(features, gradients)
    assert (maps[0] == 0).all()
    assert (maps[1] == 1).all()


def test_float16_is_near_float32(manifest, inputs, references):
    """Each layer rounded to float16, as on a GPU: maps stay within 1 % of their range."""
    rounded = load_rounded(manifest.explain.graphs["fp16"], threads=1)
    found = rounded.infer_all(inputs[0])
    shares = {name: to_share_of_range(found[name], references[0][name]) for name in OUTPUT_NAMES}
    assert 0 < max(shares.values()) < 0.01, shares


def test_tensorrt_engine_is_built(manifest):
    """TensorRT for RTX sees half in every layer of the FP16 graph, and builds both graphs' engines.

    Beside the weights the two engines hold the same, so FP32's is larger by two bytes a weight.
    """
    graphs = manifest.explain.graphs
    network = parse_network(trt, trt.Builder(to_trt_logger(trt)), graphs["fp16"].read())
    assert network.num_outputs == len(OUTPUT_NAMES)
    assert find_wide_layers(trt, network) == []
    sizes = {
        precision: len(build_engine(trt, graph.read(), precision=precision)[0])
        for precision, graph in graphs.items()
    }
    initializers = onnx.load_from_string(graphs["fp16"].read()).graph.initializer
    weights = sum(int(np.prod(each.dims)) for each in initializers)
    assert sizes["fp16"] > 2 * weights
    assert sizes["fp32"] - sizes["fp16"] == pytest.approx(2 * weights, rel=0.05)


def test_engines_of_both_graphs_are_built_ahead(explain_model_dir, fp16_graph, tmp_path, capsys):
    """`python -m model_export engine` writes the engines of the network and the explain graph."""
    folder = shutil.copytree(explain_model_dir, tmp_path / "model")
    shutil.copy(fp16_graph.path, folder)
    facts = json.loads((folder / MANIFEST_NAME).read_text())
    facts["graphs"]["fp16"] = {"file": fp16_graph.path.name, "sha256": fp16_graph.sha256}
    write_manifest(folder, facts)
    assert main(["engine", "--model", str(folder)]) == 0
    built = sorted(path.name.rsplit(".", 2)[0] for path in folder.glob("*.engine"))
    assert built == ["model.explain.fp16", "model.fp16"]
    told = capsys.readouterr().out
    assert all(name in told for name in built)


def test_another_network_is_refused(explain_model_dir):
    """Maps of other weights than torch's raise ParityError."""
    pipeline = load_pipeline(explain_model_dir, backend="onnxruntime", precision="fp32", threads=1)
    other = load_trained(find_checkpoint(SHIPPED_MODEL_DIR))
    with torch.no_grad():
        other.decoder[0].block.second[0].weight *= 1.1
    with pytest.raises(ParityError, match="onnxruntime's maps differ from torch's"):
        measure_explain_parity(other, pipeline, [(Path("examples/phantom.png"), None)])


def test_nan_has_an_infinite_difference():
    """A map with one NaN never passes."""
    expected = np.linspace(0, 1, 4, dtype=np.float32)
    broken = expected.copy()
    broken[2] = np.nan
    assert to_share_of_range(broken, expected) == np.inf
