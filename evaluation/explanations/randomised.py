"""Randomised weights: how much a map depends on what the network has learned.

From the output backwards, level after level loses its trained weights; each time the map is made
again, of the same pixels' mean logit, and compared by rank with the trained network's. A map that
stays alike shows the picture, not the network. How alike the trained network's maps of different
pictures are is given beside it, for a map of any head in the middle resembles any other. Each
picture has a draw of its own: a single one may turn every map into its opposite, or back.

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

from evaluation.metrics import estimate
from model_export.explain import LAYERS
from model_export.explain_parity import Maps, compute_reference_maps
from model_export.onnx_graph import OUTPUT_NAME
from training.networks.attention_resunet import AttentionResUNet

STAGES = (*reversed(LAYERS), "encoder")
"""What loses its weights, one after the other; the first takes the 1x1 head along."""
ANOTHER = "another picture"
SEED = 20_261_124


def randomise(network: AttentionResUNet, seed: int) -> Iterator[tuple[str, AttentionResUNet]]:
    """Yield each of `STAGES` and a network whose levels down to it are as before training.

    Batch norms lose their statistics too.
    """
    torch.manual_seed(seed)
    changed = copy.deepcopy(network)
    levels: list[Any] = [*reversed(changed.decoder), changed.bottleneck, changed.encoder]
    _reset(changed.head)
    for stage, level in zip(STAGES, levels, strict=True):
        _reset(level)
        yield stage, changed


def _reset(level: nn.Module) -> None:
    for layer in level.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()


def to_rank_correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float | None:
    """Return Spearman's correlation of two maps of one size; None if one is the same everywhere."""
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
    """Compare maps under randomised weights with the trained network's.

    Parameters
    ----------
    network : AttentionResUNet
        As trained, in evaluation mode.
    network_inputs : sequence of (1, 1, h, w) float32
        Of pictures in which the network sees a head.
    exams : sequence of int
        Of each picture.
    threshold : float
        A pixel belongs to the predicted head above this probability.

    Returns
    -------
    dict
        Stage, or `ANOTHER`, to layer to the mean rank correlation; maps that are the same
        everywhere are excluded and counted.
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
