import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from headcirc.model.manifest import MANIFEST_NAME, SCHEMA_VERSION, InputFacts
from model_export.__main__ import MASK
from model_export.onnx_graph import write_onnx
from training.networks.attention_resunet import AttentionResUNet

TINY_FACTS = InputFacts(
    width_px=32, height_px=32, pixel_aspect=1.0, mean=0.2, standard_deviation=0.2
)


def make_tiny_network(seed: int) -> AttentionResUNet:
    """Return a network of width 2 whose batch norms are far from the identity."""
    torch.manual_seed(seed)
    network = AttentionResUNet(width=2)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, 0, 0.3)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0.5, 0.2)  # above 0, so that no ReLU is dead
    network.eval()
    with torch.no_grad():  # half of the pixels of a noisy picture are to be head
        logits = network(torch.randn(1, 1, 32, 32))
        network.head.weight *= 2 / logits.std()
        network.head.bias.copy_((network.head.bias - logits.mean()) * 2 / logits.std())
    return network


@pytest.fixture(scope="session")
def tiny_network() -> AttentionResUNet:
    return make_tiny_network(0)


@pytest.fixture(scope="session")
def another_network() -> AttentionResUNet:
    return make_tiny_network(1)


@pytest.fixture(scope="session")
def tiny_model_dir(tiny_network, tmp_path_factory) -> Path:
    """Return a model's folder: the exported tiny network and its manifest."""
    folder = tmp_path_factory.mktemp("tiny-model")
    write_onnx(tiny_network, folder / "model.onnx", TINY_FACTS)
    sha256 = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "name": "tiny",
        "version": "0",
        "width": 2,
        "parameters": 0,
        "input": asdict(TINY_FACTS),
        # An untrained network is sure of nothing, and here it is compared, not believed.
        "mask": asdict(replace(MASK, minimum_mean_probability=0.0)),
        "graphs": {"fp32": {"file": "model.onnx", "sha256": sha256}},
    }
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest))
    return folder
