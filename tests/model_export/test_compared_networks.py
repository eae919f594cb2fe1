"""Every compared network goes through the same export: ONNX, float16, INT8 and explain graph."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch
from torch import nn

from headcirc.model.manifest import InputFacts
from model_export.explain import is_explainable, to_attention_levels, to_output_names, write_explain
from model_export.explain_parity import compute_reference_maps, to_share_of_range
from model_export.fp16 import write_fp16
from model_export.onnx_graph import INPUT_NAME, write_onnx
from model_export.parity import MAXIMUM_PROBABILITY_DIFFERENCE
from model_export.quantise import write_int8
from training.data.hc18 import HC18Image
from training.networks import COMPARED, build_network

SIDE_PX = 64
FACTS = InputFacts(SIDE_PX, SIDE_PX, pixel_aspect=1.0, mean=0.2, standard_deviation=0.2)
SWIN = {"width": 6, "window": 2, "grid_px": SIDE_PX}
SMALL = {name: SWIN if name == "swin-unet" else {"width": 4} for name in COMPARED}
SMALL["deep unet-plus-plus"] = {"width": 4, "deep_supervision": True}
FAST = ("attention-resunet", "unet-plus-plus")
"""The others take a minute and a half: `make test-slow`."""
THRESHOLD = 0.5
LARGEST_SHARE = 0.01
"""Share of a map's range. A pixel whose logit is within rounding of the threshold, or a ReLU, may
count on either side; with random weights that moves a map by some thousandths."""


def make_network(name):
    """Return a small network whose norms are far from the identity; half of a picture is head."""
    torch.manual_seed(0)
    network = build_network(name.removeprefix("deep "), **SMALL[name])
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, 0, 0.3)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0.5, 0.2)
    network.eval()
    with torch.no_grad():
        logits = network(torch.from_numpy(make_picture(0)))
        factor = 2 / logits.std()
        if network.head.bias is None:  # the picture's mean decides what is head
            network.expansion.norm.bias -= (
                logits.mean() * network.head.weight.flatten() / network.head.weight.norm() ** 2
            )
        else:
            network.head.bias.copy_((network.head.bias - logits.mean()) * factor)
        network.head.weight *= factor
    return network


def make_picture(seed, batch=1):
    generator = np.random.default_rng(seed)
    coarse = generator.normal(size=(batch, 8, 8)).astype(np.float32)
    smooth = [
        cv2.resize(each, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC) for each in coarse
    ]
    return np.stack(smooth)[:, None]


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in SMALL],
)
def exported(request, tmp_path_factory):
    """Return the name, the network and the folder of its graphs."""
    network, folder = make_network(request.param), tmp_path_factory.mktemp("exported")
    write_onnx(network, folder / "model.onnx", FACTS)
    return request.param, network, folder


def run_onnxruntime(path, picture):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(None, {INPUT_NAME: picture}), strict=True))


def run_openvino(path, picture):
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    results = compiled(picture)
    return {each.any_name: results[each] for each in compiled.outputs}


@pytest.mark.parametrize("run", [run_onnxruntime, run_openvino])
def test_probabilities_match_torch(exported, run):
    """Both CPU runtimes give torch's probabilities, for a batch of two, too."""
    _, network, folder = exported
    picture = make_picture(1, batch=2)
    found = run(folder / "model.onnx", picture)["probability_map"]
    with torch.no_grad():
        expected = torch.sigmoid(network(torch.from_numpy(picture))).numpy()
    assert expected.std() > 0.05
    assert np.abs(found - expected).max() < MAXIMUM_PROBABILITY_DIFFERENCE


def test_float16_graph_is_float16_and_close(exported):
    """No tensor but input and output stays float32, and the probabilities are close."""
    _, _, folder = exported
    write_fp16(folder / "model.onnx", folder / "model.fp16.onnx")  # refuses any other float32
    picture = make_picture(2)
    first, second = (
        run_onnxruntime(folder / name, picture)["probability_map"]
        for name in ("model.onnx", "model.fp16.onnx")
    )
    assert np.abs(first - second).max() < 0.05


def test_int8_graph_has_8_bit_weights_and_is_close(exported, tmp_path):
    """The weights of all but the last convolution are INT8, and most pixels keep their class."""
    _, _, folder = exported
    images = []
    for seed in range(4):
        path = tmp_path / f"{seed}.png"
        grey = 255 * (FACTS.mean + FACTS.standard_deviation * make_picture(seed)[0, 0])
        cv2.imwrite(str(path), np.clip(grey, 0, 255).astype(np.uint8))
        images.append(HC18Image(path.name, seed, 0.2, 100.0, path, Path()))
    write_int8(folder / "model.onnx", tmp_path / "model.int8.onnx", images, FACTS)
    weights = onnx.load(tmp_path / "model.int8.onnx").graph.initializer
    int8 = sum(each.data_type == onnx.TensorProto.INT8 and len(each.dims) > 1 for each in weights)
    wide = [each for each in weights if each.data_type == 1 and np.prod(each.dims) > 2000]
    assert int8 >= 20
    assert [each.name for each in wide] == []
    first, second = (
        run_onnxruntime(path, np.clip(make_picture(2), -1, 4))["probability_map"]
        for path in (folder / "model.onnx", tmp_path / "model.int8.onnx")
    )
    assert ((first > THRESHOLD) == (second > THRESHOLD)).mean() > 0.9


@pytest.mark.parametrize("run", [run_onnxruntime, run_openvino])
def test_explain_graph_matches_autograd(exported, run):
    """Grad-CAM at the bottleneck and at every decoder level; gates where the network has them."""
    name, network, folder = exported
    assert is_explainable(network)
    path, picture = folder / "explain.onnx", make_picture(3)
    if not path.exists():
        write_explain(network, path, FACTS, threshold=THRESHOLD)
    found = run(path, picture)
    expected = compute_reference_maps(network, picture, threshold=THRESHOLD)
    assert set(expected) == set(to_output_names(network))
    assert found.keys() == expected.keys()
    assert (to_attention_levels(network) == ()) == ("attention" not in name)
    assert sum(each.max() > 0 for each in expected.values()) > 2
    for output, values in expected.items():
        assert to_share_of_range(found[output], values) < LARGEST_SHARE, output


def test_explain_graph_transposes_no_constant(exported):
    """OpenVINO confuses a square matrix with its transpose, so each is a constant of its own."""
    _, network, folder = exported
    if not (folder / "explain.onnx").exists():
        write_explain(network, folder / "explain.onnx", FACTS, threshold=THRESHOLD)
    graph = onnx.load(folder / "explain.onnx").graph
    constants = {each.name for each in graph.initializer}
    turned = [node for node in graph.node if node.op_type == "Transpose"]
    assert [node.name for node in turned if node.input[0] in constants] == []


def test_float16_explain_graph_can_be_written(exported):
    """A GPU runs it; every tensor but the ends is float16."""
    _, network, folder = exported
    if not (folder / "explain.onnx").exists():
        write_explain(network, folder / "explain.onnx", FACTS, threshold=THRESHOLD)
    write_fp16(folder / "explain.onnx", folder / "explain.fp16.onnx")
