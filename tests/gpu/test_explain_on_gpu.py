"""The explain graph on an NVIDIA GPU: `make test-gpu`."""

import numpy as np
import pytest

from examples.phantom import draw_phantom, load_parameters
from headcirc.backends.gpu import require_gpu
from headcirc.backends.registry import load_explain_backend
from headcirc.errors import BackendUnavailableError
from headcirc.model.manifest import load_manifest
from headcirc.network_input import to_network_input
from model_export.explain_parity import to_share_of_range

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module", autouse=True)
def gpu():
    try:
        return require_gpu()
    except BackendUnavailableError as reason:
        pytest.skip(str(reason))


def test_maps_are_those_of_float32_on_the_cpu(explain_model_dir):
    """Float16 in TensorRT: every map within 2 % of its range, and zero without a head."""
    manifest = load_manifest(explain_model_dir)
    backend = load_explain_backend("tensorrt", manifest, threads=1)
    assert backend.precision == "fp16"
    reference = load_explain_backend("onnxruntime", manifest, threads=1)
    for parameters in load_parameters()[:5]:
        network_input, _ = to_network_input(draw_phantom(parameters), manifest.input)
        found, expected = backend.infer_all(network_input), reference.infer_all(network_input)
        shares = {name: to_share_of_range(found[name], expected[name]) for name in expected}
        print(f"\n{backend.device}: {shares}")
        assert max(shares.values()) < 0.02
    black, _ = to_network_input(np.zeros((540, 800), np.uint8), manifest.input)
    maps = backend.infer_all(black)
    assert all((maps[layer] == 0).all() for layer in manifest.explain.layers)
