"""Measure how much a map depends on the trained weights, by randomising them.

From the output backwards, each level in turn gets random weights. After each level, the map for
the mean logit of the same pixels is computed again, and its rank correlation with the trained
network's map is measured. A map that does not change shows the picture, not the network. For
comparison, the report also has the correlation between the trained network's maps of different
pictures, because all heads are near the middle. Each picture gets its own random weights, because
one draw may invert every map.

References
----------
Adebayo 2018, Sanity checks for saliency maps, arXiv 1810.03292.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import nn
from tqdm import tqdm

from headcirc.agreement.estimates import estimate
from model_export.explain import LAYERS
from model_export.explain_parity import Maps, compute_reference_maps
from model_export.onnx_graph import OUTPUT_NAME
from training.networks.attention_resunet import AttentionResUNet

STAGES = (*reversed(LAYERS), "encoder")
"""The levels in the order in which they are randomised; the first includes the head, the last the
stem."""
ANOTHER = "another picture"
SEED = 20_261_124


def randomise(network: AttentionResUNet, seed: int) -> Iterator[tuple[str, AttentionResUNet]]:
    """Yield each of `STAGES` with a network whose levels down to it have random weights.

    The statistics of batch norms are reset too.
    """
    torch.manual_seed(seed)
    changed = copy.deepcopy(network)
    levels: list[Any] = [*reversed(changed.decoder), changed.bottleneck, changed.encoder]
    _reset(changed.head)
    for stage, level in zip(STAGES, levels, strict=True):
        _reset(level)
        if level is changed.encoder and changed.stem is not None:
            _reset(changed.stem)
        yield stage, changed


def _reset(level: nn.Module) -> None:
    for layer in level.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()


def to_rank_correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float | None:
    """Return Spearman's correlation of two maps of the same size; None if one is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(spearmanr(first.ravel(), second.ravel()).statistic)


def measure_randomised(
    network: AttentionResUNet,
    network_inputs: Sequence[NDArray[np.float32]],
    exams: Sequence[int],
    *,
    threshold: float,
) -> dict[str, dict[str, Any]]:
    """Compare the maps under randomised weights with the trained network's maps.

    Parameters
    ----------
    network : AttentionResUNet
        The trained network, in evaluation mode.
    network_inputs : sequence of (1, 1, h, w) float32
        Images in which the network finds a head.
    exams : sequence of int
        The exam of each image.
    threshold : float
        A pixel above this probability belongs to the predicted head.

    Returns
    -------
    dict
        The mean rank correlation by stage (or `ANOTHER`) and layer; constant maps are excluded and
        counted.
    """
    trained = [
        compute_reference_maps(network, each, threshold=threshold) for each in network_inputs
    ]
    neighbours = [*trained[1:], trained[0]]
    compared = {ANOTHER: _compare(trained, neighbours, exams)}
    found: dict[str, list[Maps]] = {stage: [] for stage in STAGES}
    for index, each in enumerate(tqdm(network_inputs, "randomised weights", unit="image")):
        head = trained[index][OUTPUT_NAME] > threshold
        for stage, changed in randomise(network, SEED + index):
            maps = compute_reference_maps(changed, each, threshold=threshold, head=head)
            found[stage].append(maps)
    return compared | {stage: _compare(trained, maps, exams) for stage, maps in found.items()}


def _compare(
    trained: Sequence[Maps], others: Sequence[Mapping[str, Any]], exams: Sequence[int]
) -> dict[str, Any]:
    pairs = list(zip(trained, others, strict=True))
    return {
        layer: asdict(
            estimate([to_rank_correlation(one[layer], other[layer]) for one, other in pairs], exams)
        )
        for layer in LAYERS
    }
