import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from headcirc.model.manifest import MANIFEST_NAME, SCHEMA_VERSION, InputFacts
from model_export.__main__ import HEAD_PLANE, MASK
from model_export.explain import to_mask_logits
from model_export.onnx_graph import has_head_plane, write_onnx
from training.networks.attention_resunet import AttentionResUNet

TINY_FACTS = InputFacts(
    width_px=32, height_px=32, pixel_aspect=1.0, mean=0.2, standard_deviation=0.2
)


def make_tiny_network(seed: int, **options: Any) -> AttentionResUNet:
    """Return a small network whose batch norms are far from the identity."""
    torch.manual_seed(seed)
    network = AttentionResUNet(**({"width": 2} | options))
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, 0, 0.3)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0.5, 0.2)  # above 0, so that no ReLU is dead
    network.eval()
    with torch.no_grad():  # half of the pixels of a noisy picture are to be head
        logits = to_mask_logits(network(torch.randn(1, 1, 32, 32)))
        head = network.head if network.stem is None else network.head[0]
        head.weight *= 2 / logits.std()
        head.bias.copy_((head.bias - logits.mean()) * 2 / logits.std())
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
    return write_tiny_model(tiny_network, tmp_path_factory.mktemp("tiny-model"))


def write_tiny_model(
    network: AttentionResUNet, folder: Path, facts: InputFacts = TINY_FACTS
) -> Path:
    """Write a network's float32 graph and its manifest into a folder, and return the folder."""
    write_onnx(network, folder / "model.onnx", facts)
    sha256 = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "name": "tiny",
        "version": "0",
        "width": 2,
        "parameters": 0,
        "input": asdict(facts),
        # An untrained network is sure of nothing, and here it is compared, not believed.
        "mask": asdict(replace(MASK, minimum_mean_probability=0.0)),
        "graphs": {"fp32": {"file": "model.onnx", "sha256": sha256}},
    }
    if has_head_plane(network):
        manifest["head_plane"] = asdict(HEAD_PLANE)
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest))
    return folder
