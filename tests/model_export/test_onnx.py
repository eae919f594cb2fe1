import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file

from model_export.onnx_graph import INPUT_NAME, OUTPUT_NAME
from training.checkpoint import load_trained


@pytest.fixture(scope="module")
def content(tiny_model_dir):
    return (tiny_model_dir / "model.onnx").read_bytes()


def test_graph_is_valid_and_batch_norm_is_folded(content):
    """The checker accepts it, no BatchNormalization is left, and only the batch is dynamic."""
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert not [node.name for node in model.graph.node if "BatchNorm" in node.op_type]
    assert [each.name for each in model.graph.input] == [INPUT_NAME]
    assert [each.name for each in model.graph.output] == [OUTPUT_NAME]
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    assert [size.dim_value for size in sizes] == [0, 1, 32, 32]


@pytest.mark.parametrize("batch", [1, 3])
def test_probabilities_match_torch(content, tiny_network, batch):
    """ONNX Runtime gives the sigmoid of torch's logits to 1e-4 for one picture and for three."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    network_input = np.random.default_rng(batch).normal(size=(batch, 1, 32, 32)).astype(np.float32)
    (probabilities,) = session.run(None, {INPUT_NAME: network_input})
    with torch.no_grad():
        expected = torch.sigmoid(tiny_network(torch.from_numpy(network_input))).numpy()
    assert probabilities.shape == (batch, 1, 32, 32)
    assert expected.std() > 0.01
    assert np.abs(probabilities - expected).max() < 1e-4


def test_graph_contains_no_path_of_this_machine(content):
    """The exporter's source locations are removed."""
    paths = [str(Path.cwd()), sys.prefix, str(Path.home()) + "/", "site-packages", ".py"]
    assert [path for path in paths if path.encode() in content] == []


def test_checkpoint_restores_the_network(tiny_network, tmp_path):
    """A network loaded from its saved weights gives the same logits and is in evaluation mode."""
    save_file(tiny_network.state_dict(), tmp_path / "checkpoint.safetensors")
    loaded = load_trained(tmp_path / "checkpoint.safetensors")
    network_input = torch.ones(1, 1, 32, 32)
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(loaded(network_input), tiny_network(network_input))


def test_half_precision_checkpoint_is_exported_in_float32(tiny_network, tmp_path):
    """The rounded weights are exported in float32, and results are close to the original."""
    halves = {name: each.half() for name, each in tiny_network.state_dict().items()}
    save_file(halves, tmp_path / "checkpoint.safetensors")
    loaded = load_trained(tmp_path / "checkpoint.safetensors")
    assert {each.dtype for each in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.head.weight, tiny_network.head.weight.half().float())
    network_input = torch.ones(1, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            torch.sigmoid(loaded(network_input)),
            torch.sigmoid(tiny_network(network_input)),
            rtol=0,
            atol=5e-3,
        )
