"""The second output and the half-resolution network: every graph and precision, against torch."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import onnx
import pytest
import tensorrt_rtx as trt
import torch

from headcirc.backends.base import SAME_HEAD_PLANE
from headcirc.backends.registry import load_backend, load_explain_backend
from headcirc.backends.tensorrt_builder import build_engine, find_wide_layers, parse_network
from headcirc.backends.tensorrt_builder import to_logger as to_trt_logger
from headcirc.errors import ModelArtifactError
from headcirc.geometry import PixelSpacing
from headcirc.model.manifest import MANIFEST_NAME, load_manifest
from headcirc.pipeline import load_pipeline
from model_export.__main__ import to_graph_facts, write_manifest
from model_export.explain_files import write_explain_files
from model_export.explain_parity import (
    MAXIMUM_SHARE_OF_RANGE,
    compute_reference_maps,
    to_share_of_range,
)
from model_export.fp16 import load_rounded, write_fp16
from model_export.onnx_graph import OUTPUT_NAMES
from model_export.parity import (
    ParityError,
    measure_agreement,
    measure_parity,
    to_torch_runner,
)
from model_export.quantise import write_int8
from tests.model_export.conftest import TINY_FACTS, make_tiny_network, write_tiny_model
from training.data.hc18 import HC18Image

HALF = {"channels": (4, 4, 4, 8, 8), "halving_stem": True}
NETWORKS = {
    "plane": {"width": 4, "head_plane": True},
    "half": HALF,
    "half-plane": HALF | {"head_plane": True},
}
BACKENDS = ("onnxruntime", "openvino")


FACTS = replace(TINY_FACTS, width_px=64, height_px=64)


def draw_noise(index):
    generator = np.random.default_rng(index)
    pixels = generator.normal(0, 30, (64, 64)) + np.linspace(20, 60 + 40 * index, 64)
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Write four pictures of noise on ramps of different brightness."""
    folder = tmp_path_factory.mktemp("pictures")
    images = []
    for index in range(4):
        path = folder / f"{index}.png"
        cv2.imwrite(str(path), draw_noise(index))
        images.append(HC18Image(path.name, index, 0.2, 100.0, path, path))
    return images


@pytest.fixture(
    scope="module",
    params=[
        "half-plane",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("plane", "half")),
    ],
)
def network(request):
    """Return a network whose head-plane probabilities differ between pictures."""
    network = make_tiny_network(5, **NETWORKS[request.param])
    if network.plane_head is not None:
        with torch.no_grad():
            pooled = network.encode(to_inputs())[1].mean(dim=(2, 3))
            network.plane_head.weight.copy_((pooled[0] - pooled[3])[None])
            network.plane_head.weight *= 2 / network.plane_head(pooled).std()
            network.plane_head.bias -= network.plane_head(pooled).mean()
    return network


def to_inputs():
    """Return the four pictures as normalised grey values."""
    pictures = np.stack([draw_noise(index) for index in range(4)])[:, None]
    grey = pictures.astype(np.float32) / 255
    return torch.from_numpy((grey - TINY_FACTS.mean) / TINY_FACTS.standard_deviation)


@pytest.fixture(scope="module")
def folder(network, images, tmp_path_factory):
    """Return the model's folder with all graphs."""
    folder = write_tiny_model(network, tmp_path_factory.mktemp("model"), FACTS)
    paths = {"fp32": folder / "model.onnx", "fp16": folder / "model.fp16.onnx"}
    write_fp16(paths["fp32"], paths["fp16"])
    manifest = json.loads((folder / MANIFEST_NAME).read_text())
    manifest["explain"] = write_explain_files(network, paths, FACTS, threshold=0.5)
    paths["int8"] = folder / "model.int8.onnx"
    write_int8(paths["fp32"], paths["int8"], images, FACTS)
    write_manifest(folder, manifest | {"graphs": to_graph_facts(paths)})
    return folder


@pytest.fixture(scope="module")
def expected(network):
    return to_torch_runner(network)(to_inputs().numpy())


def to_planes(predictions):
    return np.array([each.head_plane_probability for each in predictions], np.float64)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_graphs_have_the_outputs_of_the_network(folder, network, precision):
    """Their names and types: a map and, if the network has it, one number for each picture."""
    graph = onnx.load(load_manifest(folder).graphs[precision].path).graph
    has_plane = network.plane_head is not None
    assert tuple(each.name for each in graph.output) == OUTPUT_NAMES[: 1 + has_plane]
    for output in graph.output:
        kind = output.type.tensor_type
        assert kind.elem_type == onnx.TensorProto.FLOAT
        assert kind.shape.dim[0].dim_param
    sizes = [[each.dim_value for each in o.type.tensor_type.shape.dim[1:]] for o in graph.output]
    assert sizes == [[1, 64, 64], [1]][: 1 + has_plane]


@pytest.mark.parametrize("backend", BACKENDS)
def test_predictions_match_torch(folder, expected, backend):
    """Float32: maps and head-plane probabilities of a batch differ by at most 1e-4."""
    loaded = load_backend(backend, load_manifest(folder), threads=1, precision="fp32")
    found = loaded.infer(to_inputs().numpy())
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one.probability_map - other.probability_map).max() < 1e-4
        assert np.ptp(other.probability_map) > 0.3
    if expected[0].head_plane_probability is None:
        assert {each.head_plane_probability for each in found} == {None}
    else:
        assert np.ptp(to_planes(expected)) > 0.5
        assert np.abs(to_planes(found) - to_planes(expected)).max() < 1e-4


@pytest.mark.parametrize("backend", BACKENDS)
def test_int8_is_near_torch(folder, expected, backend):
    """Its head-plane probability stays within the allowed difference; the map is close."""
    loaded = load_backend(backend, load_manifest(folder), threads=1, precision="int8")
    found = loaded.infer(to_inputs().numpy())
    differences = [
        np.abs(one.probability_map - other.probability_map).mean()
        for one, other in zip(found, expected, strict=True)
    ]
    assert 0 < max(differences) < 0.05
    if expected[0].head_plane_probability is not None:
        assert np.abs(to_planes(found) - to_planes(expected)).max() < SAME_HEAD_PLANE


def test_float16_is_near_torch(folder, expected):
    """Each layer rounded, as on a GPU."""
    found = load_rounded(load_manifest(folder).graphs["fp16"], threads=1).infer(to_inputs().numpy())
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one.probability_map - other.probability_map).max() < 0.02
        if other.head_plane_probability is not None:
            assert one.head_plane_probability == pytest.approx(
                other.head_plane_probability, abs=0.01
            )


def test_tensorrt_engine_is_built_in_float16(folder):
    """TensorRT for RTX parses the graphs, sees half in every layer, and builds engines."""
    manifest = load_manifest(folder)
    for graph in (manifest.graphs["fp16"], manifest.explain.graphs["fp16"]):
        parsed = parse_network(trt, trt.Builder(to_trt_logger(trt)), graph.read())
        assert find_wide_layers(trt, parsed) == []
        engine, _ = build_engine(trt, graph.read(), precision="fp16")
        assert len(engine) > 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_explain_graph_gives_torchs_maps(folder, network, backend):
    """Grad-CAM and gates agree with autograd on the grids of the network's levels."""
    manifest = load_manifest(folder)
    loaded = load_explain_backend(backend, manifest, threads=1)
    picture = to_inputs().numpy()[:1]
    reference = compute_reference_maps(network, picture, threshold=0.5)
    found = loaded.infer_all(picture)
    assert set(found) == set(reference)
    for name, values in reference.items():
        assert found[name].shape == values.shape
        assert to_share_of_range(found[name], values) < MAXIMUM_SHARE_OF_RANGE, name
    assert sum(np.ptp(reference[layer]) > 0.1 for layer in manifest.explain.layers) > 2
    top = 64 if network.stem is None else 32
    assert found["attention-64"].shape == (1, 1, top, top)


def test_explain_graph_stores_no_weights_twice(folder):
    """The stem is shared, too; a square kernel of an upsampling is stored doubled."""
    kernels = onnx.load(folder / "model.onnx").graph.initializer
    names = [
        node.input[1]
        for node in onnx.load(folder / "model.onnx").graph.node
        if node.op_type == "ConvTranspose"
    ]
    square = [e for e in kernels if e.name in names and e.dims[0] == e.dims[1]]
    weights = onnx.load(folder / "model.explain.onnx").graph.initializer
    stored = sum(len(each.raw_data) for each in weights)
    assert stored < sum(len(each.raw_data) for each in square) + 200


@pytest.fixture
def picture(images):
    return [(images[0].path, PixelSpacing(1.0, 1.0))]


def test_parity_checks_the_head_plane(folder, network, picture):
    """A network with another head-plane output, or without one, raises ParityError."""
    pipeline = load_pipeline(folder, backend="onnxruntime", precision="fp32", threads=1)
    assert measure_parity(network, pipeline, picture).head_plane_difference < 1e-4
    if network.plane_head is None:
        return
    with torch.no_grad():
        network.plane_head.bias += 0.1
    with pytest.raises(ParityError, match="differs from torch"):
        measure_parity(network, pipeline, picture)
    with torch.no_grad():
        network.plane_head.bias -= 0.1
    without = make_tiny_network(5, width=4)
    with pytest.raises(ParityError, match="differs from torch"):
        measure_parity(without, pipeline, picture)


def test_agreement_checks_the_head_plane(folder, network, picture):
    """An engine whose head-plane probability is shifted by 0.1 raises ParityError."""
    pipeline = load_pipeline(folder, backend="onnxruntime", precision="fp32", threads=1)
    assert measure_agreement(pipeline, pipeline.backend, picture).head_plane_difference == 0
    if network.plane_head is None:
        return

    class Shifted:
        name, precision, device = "shifted", "fp32", "cpu"

        def infer(self, network_input):
            return [
                replace(each, head_plane_probability=each.head_plane_probability + 0.1)
                for each in pipeline.backend.infer(network_input)
            ]

    with pytest.raises(ParityError, match="head-plane probability"):
        measure_agreement(pipeline, Shifted(), picture)


def test_manifest_that_contradicts_the_graph_is_refused(folder, network, tmp_path):
    """A limit without an output, and an output without a limit."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    facts = json.loads((copy / MANIFEST_NAME).read_text())
    if network.plane_head is None:
        facts["head_plane"] = {"acceptable_probability": 0.5}
    else:
        del facts["head_plane"]
    write_manifest(copy, facts)
    with pytest.raises(ModelArtifactError, match="head-plane output"):
        load_pipeline(copy, backend="onnxruntime", precision="fp32", threads=1)


def test_answer_has_the_probability_and_the_warning(folder, network, picture):
    """The limit of the manifest decides about the warning."""
    ((path, spacing),) = picture
    pipeline = load_pipeline(folder, backend="openvino", precision="int8", threads=1)
    analysis = pipeline.analyze(path.read_bytes(), pixel_spacing=spacing)
    found = analysis.head_plane_probability
    if network.plane_head is None:
        assert found is None
        assert "not-a-head-plane" not in analysis.quality.warnings
        return
    assert 0 < found < 1
    for limit, is_warned in ((found + 1e-3, True), (found - 1e-3, False)):
        facts = replace(pipeline.manifest.head_plane, acceptable_probability=limit)
        stricter = replace(pipeline, manifest=replace(pipeline.manifest, head_plane=facts))
        quality = stricter.analyze(path.read_bytes(), pixel_spacing=spacing).quality
        assert ("not-a-head-plane" in quality.warnings) is is_warned
        assert not (is_warned and quality.acceptable)
    facts = replace(pipeline.manifest.head_plane, minimum_probability=found + 1e-3)
    excluding = replace(pipeline, manifest=replace(pipeline.manifest, head_plane=facts))
    excluded = excluding.analyze(path.read_bytes(), pixel_spacing=spacing)
    assert excluded.head is None
    assert "no-head-found" in excluded.quality.warnings
