import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from headcirc.errors import ModelArtifactError
from headcirc.model.manifest import MANIFEST_NAME
from headcirc.pipeline import load_pipeline
from model_export.__main__ import adopt, load_range_images, write_manifest
from model_export.quantise import EVERY, find_output_nodes, write_int8
from tests.model_export.conftest import TINY_FACTS
from training.data.folds import Folds
from training.data.hc18 import SPLIT_PATH, TABLE_NAME, HC18Image


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Write four pictures of noise on a ramp."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    images = []
    for index in range(4):
        pixels = generator.normal(0, 30, (32, 32)) + np.linspace(20, 180, 32)
        path = folder / f"{index}.png"
        cv2.imwrite(str(path), np.clip(pixels, 0, 255).astype(np.uint8))
        images.append(HC18Image(path.name, index, 0.2, 100.0, path, Path()))
    return images


@pytest.fixture(scope="module")
def int8_path(tiny_model_dir, images, tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "model.int8.onnx"
    write_int8(tiny_model_dir / "model.onnx", path, images, TINY_FACTS)
    return path


def test_all_convolutions_but_the_last_have_int8_weights(int8_path):
    """39 of 40 convolutions read weights that were int8; the one that gives logits is float32."""
    model = onnx.load(int8_path)
    int8 = {
        each.name for each in model.graph.initializer if each.data_type == onnx.TensorProto.INT8
    }
    dequantised = {
        node.output[0]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in int8
    }
    convolutions = [node for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    plain = [node.name for node in convolutions if node.input[1] not in dequantised]
    _, head = find_output_nodes(model)
    assert len(convolutions) == 44
    assert plain == [head]


def test_int8_weights_have_seven_bits(int8_path):
    """No weight exceeds 64, so two products with 255 fit into 16 bits on every CPU."""
    largest = max(
        int(np.abs(onnx.numpy_helper.to_array(each).astype(np.int32)).max())
        for each in onnx.load(int8_path).graph.initializer
        if each.data_type == onnx.TensorProto.INT8
    )
    assert 60 <= largest <= 64
    assert 2 * largest * 255 < 2**15


def test_inputs_and_outputs_stay_float32(int8_path):
    """Names and types are those of the float32 graph."""
    graph = onnx.load(int8_path).graph
    ends = {each.name: each.type.tensor_type.elem_type for each in (*graph.input, *graph.output)}
    float32 = onnx.TensorProto.FLOAT
    assert ends == {"network_input": float32, "probability_map": float32}


def test_graph_without_a_final_sigmoid_is_not_quantised():
    """The graph must end in a convolution and a sigmoid."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    result = onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [1])
    nodes = [
        onnx.helper.make_node("Relu", ["x"], ["y"]),
        onnx.helper.make_node("Relu", ["y"], ["z"]),
    ]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [value], [result]))
    with pytest.raises(ValueError, match="ends in Relu and Relu"):
        find_output_nodes(model)


@pytest.fixture
def shipped_dir(tiny_model_dir, tmp_path):
    folder = tmp_path / "shipped"
    folder.mkdir()
    for path in tiny_model_dir.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture
def candidate_dir(tmp_path, int8_path):
    folder = tmp_path / "candidate"
    folder.mkdir()
    (folder / "model.int8.onnx").write_bytes(int8_path.read_bytes())
    write_manifest(folder, {"graphs": {"int8": {"file": "model.int8.onnx", "sha256": "a" * 64}}})
    return folder


def write_acceptance(folder, *, sha256="a" * 64, accepted=True):
    model = {"backend": "openvino", "sha256": sha256}
    report = {
        "command": "python -m evaluation.acceptance",
        "date": "2026-01-01",
        "data": {"part": "calibration"},
        "limits": {},
        "candidates": [{"model": model, "figures": {"largest_difference_mm": 0.1}}],
        "accepted": accepted,
    }
    path = folder / "acceptance.json"
    path.write_text(json.dumps(report))
    return path


def test_accepted_graph_ships_with_its_figures(shipped_dir, candidate_dir):
    """The graph and its figures enter the model's folder beside the float32 graph."""
    adopt(shipped_dir, candidate_dir, write_acceptance(candidate_dir))
    graphs = json.loads((shipped_dir / MANIFEST_NAME).read_text())["graphs"]
    assert set(graphs) == {"fp32", "int8"}
    assert graphs["int8"]["acceptance"]["figures"] == {"openvino": {"largest_difference_mm": 0.1}}
    assert (shipped_dir / "model.int8.onnx").is_file()


@pytest.mark.parametrize(
    ("fault", "message"),
    [({"accepted": False}, "does not accept the graph"), ({"sha256": "b" * 64}, "another graph")],
)
def test_a_graph_that_was_not_accepted_does_not_ship(shipped_dir, candidate_dir, fault, message):
    """Not accepted, or measured with another graph: the model's folder does not change."""
    before = (shipped_dir / MANIFEST_NAME).read_bytes()
    with pytest.raises(SystemExit, match=message):
        adopt(shipped_dir, candidate_dir, write_acceptance(candidate_dir, **fault))
    assert (shipped_dir / MANIFEST_NAME).read_bytes() == before
    with pytest.raises(ModelArtifactError, match="ships fp32, not int8"):
        load_pipeline(shipped_dir, precision="int8")


@pytest.mark.parametrize("fold", [0, 3])
def test_ranges_come_from_images_that_the_weights_were_trained_on(tmp_path, fold):
    """No image of a held-out exam gives ranges; every eighth of the others does."""
    exams = sorted(exam for each in Folds().exams for exam in each)
    write_table(tmp_path, exams)
    recipe = {"fold": fold, "held_out": "folds"}
    images = load_range_images({"training": {"recipe": recipe}}, tmp_path)
    assert abs(len(images) - len(exams) * 4 / 5 / EVERY) <= 1
    assert not Folds().exams[fold].intersection(image.exam for image in images)


@pytest.mark.parametrize("recipe", [{}, {"fold": None, "held_out": "folds"}])
def test_ranges_without_a_fold_come_from_the_train_part(tmp_path, recipe):
    """The calibration exams, on which INT8 graphs are accepted, give no ranges."""
    parts = json.loads(SPLIT_PATH.read_text())
    write_table(tmp_path, sorted(exam for exams in parts.values() for exam in exams))
    images = load_range_images({"training": {"recipe": recipe}}, tmp_path)
    assert images
    assert set(parts["train"]).issuperset(image.exam for image in images)


def write_table(folder, exams):
    rows = "".join(f"{exam:03d}_HC.png,0.1,100.0\n" for exam in exams)
    (folder / TABLE_NAME).write_text("filename,pixel size(mm),head circumference (mm)\n" + rows)
