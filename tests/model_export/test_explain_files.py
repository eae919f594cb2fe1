import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from headcirc.backends.registry import load_explain_backend
from headcirc.model.manifest import MANIFEST_NAME, load_manifest
from headcirc.model.shared_weights import ROTATED_SUFFIX
from model_export.__main__ import write_manifest
from model_export.explain import OUTPUT_NAMES
from model_export.explain_files import share_weights, write_explain_files
from model_export.explain_parity import (
    MAXIMUM_SHARE_OF_RANGE,
    compute_reference_maps,
    to_share_of_range,
)
from model_export.fp16 import load_rounded, write_fp16
from model_export.onnx_graph import OUTPUT_NAME, write_onnx
from training.checkpoint import to_file_sha256

CONSTANTS_BYTES = 200
"""Size of a few numbers, such as the threshold's logit, that no network holds."""


@pytest.fixture(scope="module")
def folder(tiny_network, tiny_model_dir, tmp_path_factory):
    """Return the tiny network's model with explain graphs that share its weights."""
    folder = shutil.copytree(tiny_model_dir, tmp_path_factory.mktemp("explained") / "model")
    sources = {"fp32": folder / "model.onnx", "fp16": folder / "model.fp16.onnx"}
    write_fp16(sources["fp32"], sources["fp16"])
    manifest = load_manifest(folder)
    facts = json.loads((folder / MANIFEST_NAME).read_text())
    facts["graphs"]["fp16"] = {
        "file": "model.fp16.onnx",
        "sha256": to_file_sha256(sources["fp16"]),
    }
    explain = write_explain_files(
        tiny_network, sources, manifest.input, threshold=manifest.mask.threshold
    )
    write_manifest(folder, facts | {"explain": explain})
    return folder


def read_initializers(path):
    return onnx.load(path).graph.initializer


@pytest.mark.parametrize("infix", ["", ".fp16"])
def test_no_weight_is_stored_twice(folder, infix):
    """The file stores a few constants; it names each of the network's weights once."""
    source = {each.name for each in read_initializers(folder / f"model{infix}.onnx")}
    weights = read_initializers(folder / f"model.explain{infix}.onnx")
    held = [each for each in weights if each.raw_data]
    assert sum(numpy_helper.to_array(each).nbytes for each in held) < CONSTANTS_BYTES
    named = [each.name for each in weights if not each.raw_data]
    assert len(set(named)) == len(named)
    assert {name.removesuffix(ROTATED_SUFFIX) for name in named} == source
    assert any(name.endswith(ROTATED_SUFFIX) for name in named)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_shared_weights_give_torch_s_maps(tiny_network, folder, backend):
    """The completed graph gives autograd's maps in both runtimes."""
    manifest = load_manifest(folder)
    loaded = load_explain_backend(backend, manifest, threads=1)
    network_input = np.random.default_rng(0).normal(size=(1, 1, 32, 32)).astype(np.float32)
    threshold = manifest.mask.threshold
    expected = compute_reference_maps(tiny_network, network_input, threshold=threshold)
    found = loaded.infer_all(network_input)
    for name in OUTPUT_NAMES:
        assert to_share_of_range(found[name], expected[name]) < MAXIMUM_SHARE_OF_RANGE, name
    assert any(expected[name].any() for name in manifest.explain.layers)


def test_float16_explain_graph_gives_the_networks_probabilities(folder):
    """Its weights come from the float16 network's file."""
    manifest = load_manifest(folder)
    network_input = np.random.default_rng(0).normal(size=(1, 1, 32, 32)).astype(np.float32)
    maps = load_rounded(manifest.explain.graphs["fp16"], threads=1).infer_all(network_input)
    (expected,) = load_rounded(manifest.graphs["fp16"], threads=1).infer(network_input)
    assert np.abs(maps[OUTPUT_NAME][0, 0] - expected.probability_map).max() < 0.01
    assert np.ptp(expected.probability_map) > 0


def test_weights_of_another_network_stay_in_the_file(folder, another_network, tmp_path):
    """Weights must be equal to be shared, not close."""
    whole = tmp_path / "whole.onnx"
    whole.write_bytes(load_manifest(folder).explain.graphs["fp32"].read())
    before = {each.name: numpy_helper.to_array(each) for each in read_initializers(whole)}
    with_stranger = tmp_path / "stranger.onnx"
    write_onnx(another_network, with_stranger, load_manifest(folder).input)
    share_weights(whole, with_stranger)
    kept = [each for each in read_initializers(whole) if each.raw_data]
    assert {each.name for each in kept} == set(before)
    assert all((numpy_helper.to_array(each) == before[each.name]).all() for each in kept)


@pytest.mark.parametrize("is_constant", [True, False])
def test_a_name_that_is_taken_is_not_given_to_a_shared_weight(tmp_path, is_constant):
    """The exporter numbers its values: `val_1` may be a weight there and another value here."""
    weight = np.arange(4, dtype=np.float32)
    float32 = onnx.TensorProto.FLOAT
    ends = [onnx.helper.make_tensor_value_info(name, float32, [4]) for name in ("x", "y")]

    def write(path, nodes, weights):
        held = [numpy_helper.from_array(each, name) for name, each in weights.items()]
        graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], held)
        opset = [onnx.helper.make_opsetid("", 20)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), path)

    source, whole = tmp_path / "source.onnx", tmp_path / "whole.onnx"
    make = onnx.helper.make_node
    write(source, [make("Add", ["x", "val_1"], ["y"])], {"val_1": weight})
    first = make("Add", ["x", "val_1"], ["z"]) if is_constant else make("Neg", ["x"], ["val_1"])
    last = make("Mul", ["z" if is_constant else "val_1", "w"], ["y"])
    others = {"val_1": weight + 9} if is_constant else {}
    write(whole, [first, last], {"w": weight} | others)
    share_weights(whole, source)
    kept = {each.name: numpy_helper.to_array(each) for each in read_initializers(whole)}
    assert kept.keys() == {"w", *others}
    assert np.array_equal(kept["w"], weight)
