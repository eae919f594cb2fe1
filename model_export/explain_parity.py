"""Compare the explain graph in a runtime with torch's autograd.

The reference is an independent implementation: the trained network with its batch norms, and the
gradient of the mean logit over the head by autograd.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from headcirc.backends.registry import load_explain_backend
from headcirc.cpus import count_available_cpus
from headcirc.geometry import PixelSpacing
from headcirc.model.manifest import to_attention_output
from headcirc.pipeline import Pipeline
from model_export.explain import (
    DEFAULT_LAYER,
    find_gate,
    to_attention_levels,
    to_layers,
    to_mask_logits,
)
from model_export.onnx_graph import OUTPUT_NAME
from model_export.parity import ParityError
from training.networks.attention_resunet import AttentionResUNet

Maps = dict[str, NDArray[np.float32]]
MAXIMUM_SHARE_OF_RANGE = 1e-3


@dataclass(frozen=True)
class ExplainParity:
    """Largest difference from torch for each output, as a share of the expected map's range."""

    images: int
    heads: int
    shares_of_range: dict[str, float]

    def to_facts(self) -> dict[str, float]:
        """Return the figures by name, for the manifest."""
        return {"images": self.images, "heads": self.heads, **self.shares_of_range}


def compute_reference_maps(
    network: AttentionResUNet,
    network_input: NDArray[np.float32],
    *,
    threshold: float,
    head: NDArray[np.bool_] | None = None,
) -> Maps:
    """Explain one picture with autograd.

    Parameters
    ----------
    network : AttentionResUNet
        As trained, in evaluation mode.
    network_input : (1, 1, h, w) float32
    threshold : float
        A pixel belongs to the predicted head above this probability.
    head : (1, 1, h, w) bool, optional
        Pixels whose mean logit is the score; by default the predicted head.

    Returns
    -------
    dict of (1, 1, rows, columns) float32
        Maps by the explain graph's output names. Without a head, every Grad-CAM map is zero.
    """
    kept: dict[str, Tensor] = {}

    def keep(name: str, layer: torch.nn.Module) -> torch.utils.hooks.RemovableHandle:
        return layer.register_forward_hook(lambda _layer, _in, out: kept.update({name: out}))

    layers = dict(zip(to_layers(network), (network.bottleneck, *network.decoder), strict=True))
    gates = [gate for gate in map(find_gate, network.decoder) if gate is not None]
    attention = [to_attention_output(level) for level in to_attention_levels(network)]
    named = layers | dict(zip(attention, gates, strict=True))
    hooks = [keep(*each) for each in named.items()]
    logits = to_mask_logits(network(torch.from_numpy(network_input)))
    for hook in hooks:
        hook.remove()
    probabilities = torch.sigmoid(logits)
    maps = {OUTPUT_NAME: probabilities}
    maps |= {name: torch.sigmoid(kept[name]) for name in attention}
    scored = probabilities > threshold if head is None else torch.from_numpy(head)
    features = [kept[name] for name in layers]
    gradients = (
        torch.autograd.grad(logits[scored].mean(), features)
        if scored.any()
        else [torch.zeros_like(each) for each in features]
    )
    for name, values, gradient in zip(layers, features, gradients, strict=True):
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        grad_cam = (weights * values).sum(dim=1, keepdim=True).clamp(min=0)
        maps[name] = grad_cam / grad_cam.max() if grad_cam.max() > 0 else grad_cam
    return {name: each.detach().numpy() for name, each in maps.items()}


def to_share_of_range(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the largest difference over the expected map's range.

    The result is infinite if a value is NaN. If the expected map is constant, it is the difference
    itself.
    """
    difference = float(np.abs(found - expected).max())
    value_range = float(np.ptp(expected))
    if not np.isfinite(difference):
        return float("inf")
    return difference / value_range if value_range > 0 else difference


def measure_explain_parity(
    network: AttentionResUNet, pipeline: Pipeline, pictures: list[tuple[Path, PixelSpacing]]
) -> ExplainParity:
    """Explain the same pictures in torch and in the pipeline's backend.

    Parameters
    ----------
    network : AttentionResUNet
        As trained, in evaluation mode.
    pipeline : Pipeline
        Pipeline of a model with an explain graph.
    pictures : list of (path, spacing)

    Raises
    ------
    ParityError
        A map differs by more than a thousandth of its range.
    """
    manifest = pipeline.manifest
    backend = load_explain_backend(pipeline.backend.name, manifest, threads=count_available_cpus())
    heads, largest = 0, {}
    for path, spacing in tqdm(pictures, f"explain, {backend.name}"):
        network_input = pipeline.prepare(path.read_bytes(), pixel_spacing=spacing).network_input
        found = backend.infer_all(network_input)
        expected = compute_reference_maps(network, network_input, threshold=manifest.mask.threshold)
        heads += bool(expected[DEFAULT_LAYER].any())
        for name, values in expected.items():
            share = to_share_of_range(found[name], values)
            largest[name] = max(largest.get(name, 0.0), share)
    if max(largest.values()) > MAXIMUM_SHARE_OF_RANGE:
        raise ParityError(
            f"{backend.name}'s maps differ from torch's: {largest}; allowed is "
            f"{MAXIMUM_SHARE_OF_RANGE} of each map's range."
        )
    return ExplainParity(len(pictures), heads, largest)
