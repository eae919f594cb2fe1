"""Trained network to explain graph: Grad-CAM and attention without autograd at run time.

No exporter takes a graph that calls autograd. Forward and gradient are therefore traced together
to plain tensor operations, and the gradients of convolutions are written as convolutions, so that
what remains is an ordinary inference graph: image in, maps out.

The score is Seg-Grad-CAM's, the mean logit over the predicted head, which here is every network
pixel above the model's threshold. A map's unit is its own maximum, so it lies in [0, 1]; a map
that is zero everywhere, as for a picture without a head, stays zero. The encoder lies behind the
bottleneck as seen from the score, so no gradient passes a max pool.

References
----------
Selvaraju 2017, Grad-CAM, doi:10.1109/ICCV.2017.74. Vinogradova 2020, Seg-Grad-CAM,
arXiv 2002.11434.
"""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing, make_fx
from torch.nn.functional import conv2d
from torch.nn.utils.fusion import fuse_conv_bn_eval

from headcirc.model.manifest import InputFacts, to_attention_output
from model_export.onnx_graph import OUTPUT_NAME, export_module
from training.networks.attention_resunet import LEVELS, PAPER_WIDTH, AttentionResUNet

ATTENTION_LEVELS = tuple(PAPER_WIDTH * 2**level for level in reversed(range(LEVELS)))
"""The paper's channel counts name the levels, deepest first, whatever the width."""
DEFAULT_LAYER = "bottleneck"
"""At the last decoder level Grad-CAM is the logit map itself and explains nothing."""
LAYERS = (DEFAULT_LAYER, *(f"decoder-{level}" for level in ATTENTION_LEVELS))
OUTPUT_NAMES = (OUTPUT_NAME, *LAYERS, *map(to_attention_output, ATTENTION_LEVELS))


def write_explain(
    network: AttentionResUNet, path: Path, facts: InputFacts, *, threshold: float
) -> None:
    """Fold, trace forward and gradient, check and write the graph.

    Parameters
    ----------
    network : AttentionResUNet
        In evaluation mode, with attention.
    path : Path
        Of the file to write; weights lie inside it.
    facts : InputFacts
        The grid.
    threshold : float
        A pixel belongs to the predicted head above this probability.
    """
    example = torch.zeros(2, 1, facts.height_px, facts.width_px)
    export_module(trace_explain(network, example, threshold=threshold), example, path, OUTPUT_NAMES)


def trace_explain(network: AttentionResUNet, example: Tensor, *, threshold: float) -> GraphModule:
    """Return `compute_maps` as plain tensor operations on one input, autograd gone.

    Parameters
    ----------
    network : AttentionResUNet
        In evaluation mode; it is left as it was.
    example : (n, 1, h, w) float32
        Its size is what the graph is made for.
    threshold : float
    """
    folded = fold_batch_norms(network)

    def explain(network_input: Tensor) -> tuple[Tensor, ...]:
        return compute_maps(folded, network_input, threshold=threshold)

    table = {torch.ops.aten.convolution_backward.default: _to_input_gradient}
    traced = make_fx(explain, decomposition_table=table)(example)
    for node in list(traced.graph.nodes):  # what autograd saves it detaches; here that is nothing
        if node.target == torch.ops.aten.detach.default:
            node.replace_all_uses_with(node.args[0])
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced.eval()


def compute_maps(
    network: AttentionResUNet, network_input: Tensor, *, threshold: float
) -> tuple[Tensor, ...]:
    """Run the network and explain what it sees, in torch.

    Parameters
    ----------
    network : AttentionResUNet
        In evaluation mode, with attention, its weights without gradient.
    network_input : (n, 1, h, w) float32
        Normalised grey values.
    threshold : float
        A pixel belongs to the predicted head above this probability.

    Returns
    -------
    tuple of (n, 1, rows, columns) float32 in [0, 1], in the order of `OUTPUT_NAMES`
        Probabilities; Grad-CAM at each layer, each on the layer's own grid; each gate's
        coefficients, on the gate's grid.
    """
    with _recorded(network) as (features, gate_logits):
        logits = network(network_input)
    head = (logits > math.log(threshold / (1 - threshold))).to(logits.dtype)
    # Summed, not averaged, over the head: a map is divided by its maximum anyway, and gradients of
    # a sum are numbers that float16 can hold where those of a mean over 20 000 pixels are not.
    gradients = torch.autograd.grad(logits, features, grad_outputs=head)
    saliency = map(to_grad_cam, features, gradients)
    return (torch.sigmoid(logits), *saliency, *map(torch.sigmoid, gate_logits))


def to_grad_cam(features: Tensor, gradients: Tensor) -> Tensor:
    """Return Grad-CAM over its own maximum.

    Parameters
    ----------
    features, gradients : (n, channels, rows, columns) float32
        Of one layer, and of the score with respect to it.

    Returns
    -------
    (n, 1, rows, columns) float32 in [0, 1]
        Each picture's maximum is 1, or every value is 0.
    """
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    grad_cam = torch.relu((weights * features).sum(dim=1, keepdim=True))
    peak = grad_cam.amax(dim=(2, 3), keepdim=True)
    return grad_cam / torch.where(peak > 0, peak, 1.0)  # 0 / 0 is nowhere computed


def fold_batch_norms(network: AttentionResUNet) -> AttentionResUNet:
    """Return a copy for inference whose convolutions hold what batch norm did after them."""
    folded = copy.deepcopy(network).eval()
    for parent in folded.modules():
        if isinstance(parent, nn.Sequential) and isinstance(parent[-1], nn.BatchNorm2d):
            parent[0] = fuse_conv_bn_eval(parent[0], parent[1])
            parent[1] = nn.Identity()
    return folded.requires_grad_(False)


@contextmanager
def _recorded(network: AttentionResUNet) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Keep, of the next forward pass, each layer's features and each gate's logits."""
    features: list[Tensor] = []
    gate_logits: list[Tensor] = []

    def begin(_layer: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        features.append(output.detach().requires_grad_())  # the gradient ends at the bottleneck
        return features[-1]

    def keep(_layer: nn.Module, _inputs: Any, output: Tensor) -> None:
        features.append(output)

    def keep_gate(_layer: nn.Module, _inputs: Any, output: Tensor) -> None:
        gate_logits.append(output)

    hooks = [network.bottleneck.register_forward_hook(begin)]
    for level in network.decoder:
        hooks.append(level.register_forward_hook(keep))
        hooks.append(level.gate.to_coefficient.register_forward_hook(keep_gate))  # type: ignore[union-attr]
    try:
        yield features, gate_logits
    finally:
        for hook in hooks:
            hook.remove()


def _to_input_gradient(  # noqa: PLR0917 - the operator's own signature
    gradient: Tensor,
    _features: Tensor,
    weight: Tensor,
    _bias_sizes: list[int] | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    _output_padding: list[int],
    groups: int,
    output_mask: list[bool],
) -> tuple[Tensor | None, None, None]:
    """Write a convolution's gradient with respect to its input as a convolution.

    A transposed convolution's is the strided convolution with the same kernel. A stride-1
    convolution's is the convolution with the flipped kernel, input and output channels exchanged;
    never a `ConvTranspose`, of which OpenVINO 2026.4.1 gives wrong maps without a word.

    Raises
    ------
    NotImplementedError
        Weights want a gradient, or the convolution is of a kind that the network has not.
    """
    plain = all(each == 1 for each in (*dilation, groups)) and not any(output_mask[1:])
    if not plain or not (transposed or all(each == 1 for each in stride)):
        raise NotImplementedError("Only inputs of plain stride-1 or transposed convolutions.")
    if transposed:
        return conv2d(gradient, weight, stride=stride, padding=padding), None, None
    with disable_proxy_modes_tracing():  # a new weight, made now and not by every runtime
        kernel = weight.flip(2, 3).transpose(0, 1).contiguous()
    margin = [size - 1 - each for size, each in zip(weight.shape[2:], padding, strict=True)]
    return conv2d(gradient, kernel, padding=margin), None, None
