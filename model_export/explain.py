"""Export an explain graph: Grad-CAM and attention maps without autograd at run time.

ONNX exporters do not support autograd. Forward pass and gradient are therefore traced together into
plain tensor operations, and gradients of convolutions are expressed as convolutions. The result is
an ordinary inference graph that maps an image to its maps.

The score is that of Seg-Grad-CAM, the mean logit over the predicted head: all network pixels above
the model's threshold. Each map is divided by its own maximum, so its values lie in [0, 1]. A map
that is zero everywhere, as for a picture without a head, stays zero. Gradients end at the
bottleneck, so no gradient passes a max pool.

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
from torch._decomp import get_decompositions
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing, make_fx
from torch.nn.functional import conv2d
from torch.nn.utils.fusion import fuse_conv_bn_eval

from headcirc.model.manifest import InputFacts, to_attention_output
from model_export.onnx_graph import OUTPUT_NAME, export_module
from training.networks.attention_resunet import AttentionResUNet
from training.networks.swin_unet import SwinUNet

DEFAULT_LAYER = "bottleneck"
"""At the last decoder level, Grad-CAM hardly differs from the logit map and explains nothing."""
DECOMPOSED = (
    torch.ops.aten.native_layer_norm.default,
    torch.ops.aten.native_layer_norm_backward.default,
    torch.ops.aten._softmax_backward_data.default,
    torch.ops.aten.gelu_backward.default,
)
"""Operators that torch decomposes: ONNX has no gradients, and its layer norm has no float16
statistics, which the gradient needs."""


def is_explainable(network: nn.Module) -> bool:
    """Return whether a network has the layers of an explain graph: bottleneck and decoder."""
    return hasattr(network, "paper_levels")


def to_layers(network: Any) -> tuple[str, ...]:
    """Return the names of the layers with a Grad-CAM map, deepest first.

    The levels are named after the channels in the network's paper, for every width.
    """
    return (DEFAULT_LAYER, *(f"decoder-{level}" for level in network.paper_levels))


def to_attention_levels(network: Any) -> tuple[int, ...]:
    """Return the levels with an attention gate, deepest first."""
    levels = zip(network.paper_levels, network.decoder, strict=True)
    return tuple(level for level, module in levels if find_gate(module) is not None)


def to_output_names(network: Any) -> tuple[str, ...]:
    """Return the names of the explain graph's outputs."""
    levels = to_attention_levels(network)
    return (OUTPUT_NAME, *to_layers(network), *map(to_attention_output, levels))


def find_gate(level: nn.Module) -> nn.Module | None:
    """Return the module that gives the logits of a level's attention gate, or None without one."""
    gate = getattr(level, "gate", None)
    return None if gate is None else gate.to_coefficient


LAYERS, ATTENTION_LEVELS = to_layers(AttentionResUNet), AttentionResUNet.paper_levels
OUTPUT_NAMES = (OUTPUT_NAME, *LAYERS, *map(to_attention_output, ATTENTION_LEVELS))
"""Layers, levels and outputs of the served architecture."""


def write_explain(
    network: AttentionResUNet, path: Path, facts: InputFacts, *, threshold: float
) -> None:
    """Export, check and write the explain graph.

    The graph of a Swin U-Net takes one picture; the others take batches.

    Parameters
    ----------
    network : AttentionResUNet
        In evaluation mode, or another network with a bottleneck and a decoder.
    path : Path
        File to write, weights included.
    facts : InputFacts
        The network's grid.
    threshold : float
        A pixel belongs to the predicted head above this probability.
    """
    is_fixed = isinstance(network, SwinUNet)  # tracing fixes the sizes of its windows
    example = torch.zeros(1 if is_fixed else 2, 1, facts.height_px, facts.width_px)
    traced = trace_explain(network, example, threshold=threshold)
    names = to_output_names(network)
    export_module(traced, example, path, names, has_dynamic_batch=not is_fixed)


def trace_explain(network: AttentionResUNet, example: Tensor, *, threshold: float) -> GraphModule:
    """Trace `compute_maps` into plain tensor operations without autograd.

    Parameters
    ----------
    network : AttentionResUNet
        In evaluation mode; it is not changed.
    example : (n, 1, h, w) float32
        Example input with the size of the graph's input.
    threshold : float
    """
    folded = fold_batch_norms(network)

    def explain(network_input: Tensor) -> tuple[Tensor, ...]:
        return compute_maps(folded, network_input, threshold=threshold)

    table = get_decompositions(DECOMPOSED)
    table[torch.ops.aten.convolution_backward.default] = _to_input_gradient
    traced = make_fx(explain, decomposition_table=table)(example)
    for node in list(traced.graph.nodes):  # autograd's detach nodes have no effect here
        if node.target == torch.ops.aten.detach.default:
            node.replace_all_uses_with(node.args[0])
    _transpose_constants(traced)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced.eval()


def _transpose_constants(traced: GraphModule) -> None:
    """Replace each transposed constant by a constant of its own.

    OpenVINO 2026.4.1 silently gives wrong products if one square matrix is multiplied as it is and
    transposed, as the forward pass and the gradient of a linear layer do.
    """
    for index, node in enumerate(list(traced.graph.nodes)):
        if node.target != torch.ops.aten.t.default or node.args[0].op != "get_attr":
            continue
        name = f"transposed_{index}"
        value = getattr(traced, node.args[0].target).detach().t().contiguous()
        traced.register_buffer(name, value)
        with traced.graph.inserting_before(node):
            node.replace_all_uses_with(traced.graph.get_attr(name))


def compute_maps(
    network: AttentionResUNet, network_input: Tensor, *, threshold: float
) -> tuple[Tensor, ...]:
    """Run the network and compute its maps, in torch.

    Parameters
    ----------
    network : AttentionResUNet
        In evaluation mode, or another network with a bottleneck and a decoder; its weights
        require no gradient.
    network_input : (n, 1, h, w) float32
        Normalised grey values.
    threshold : float
        A pixel belongs to the predicted head above this probability.

    Returns
    -------
    tuple of (n, 1, rows, columns) float32 in [0, 1], in the order of `to_output_names`
        Probabilities; the Grad-CAM map of each layer, on the layer's grid; the coefficients of
        each gate, on the gate's grid.
    """
    with _recorded(network) as (features, gate_logits):
        logits = to_mask_logits(network(network_input))
    head = (logits > math.log(threshold / (1 - threshold))).to(logits.dtype)
    # The sum over the head replaces the mean: each map is divided by its maximum anyway, and
    # gradients of a mean over 20 000 pixels would be too small for float16.
    gradients = torch.autograd.grad(logits, features, grad_outputs=head)
    saliency = map(to_grad_cam, features, gradients)
    return (torch.sigmoid(logits), *saliency, *map(torch.sigmoid, gate_logits))


def to_mask_logits(output: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    """Return the mask's logits from a network's output, which may have the head plane's, too."""
    return output[0] if isinstance(output, tuple) else output


def to_grad_cam(features: Tensor, gradients: Tensor) -> Tensor:
    """Return the Grad-CAM map divided by its maximum.

    Parameters
    ----------
    features, gradients : (n, channels, rows, columns) float32
        Features of one layer, and the gradient of the score with respect to them.

    Returns
    -------
    (n, 1, rows, columns) float32 in [0, 1]
        The maximum of each picture is 1, or all its values are 0.

    References
    ----------
    Selvaraju 2017, doi:10.1109/ICCV.2017.74, equations 1 and 2.
    """
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    grad_cam = torch.relu((weights * features).sum(dim=1, keepdim=True))
    peak = grad_cam.amax(dim=(2, 3), keepdim=True)
    return grad_cam / torch.where(peak > 0, peak, 1.0)  # avoids 0 / 0


def fold_batch_norms(network: AttentionResUNet) -> AttentionResUNet:
    """Return a copy for inference with batch norm folded into the convolutions."""
    folded = copy.deepcopy(network).eval()
    for parent in folded.modules():
        if isinstance(parent, nn.Sequential) and isinstance(parent[1], nn.BatchNorm2d):
            parent[0] = fuse_conv_bn_eval(parent[0], parent[1])
            parent[1] = nn.Identity()
    return folded.requires_grad_(False)


@contextmanager
def _recorded(network: AttentionResUNet) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Record each layer's features and each gate's logits in the next forward pass."""
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
        gate = find_gate(level)
        if gate is not None:
            hooks.append(gate.register_forward_hook(keep_gate))
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
    """Express a convolution's gradient with respect to its input as a convolution.

    For a transposed convolution, it is the strided convolution with the same kernel. For a stride-1
    convolution, it is the convolution with the rotated kernel and swapped input and output
    channels. `ConvTranspose` is avoided, because OpenVINO 2026.4.1 silently gives wrong maps for
    it. It does the same where a `Conv` and a `ConvTranspose` share a kernel with as many input as
    output channels, so the gradient gets a kernel of its own there.

    Raises
    ------
    NotImplementedError
        Weights require a gradient, or the network does not use this kind of convolution.
    """
    plain = all(each == 1 for each in (*dilation, groups)) and not any(output_mask[1:])
    if not plain or not (transposed or all(each == 1 for each in stride)):
        raise NotImplementedError(
            "Only plain stride-1 and transposed convolutions without weight gradients."
        )
    if transposed and weight.shape[0] != weight.shape[1]:
        return conv2d(gradient, weight, stride=stride, padding=padding), None, None
    if transposed:
        with disable_proxy_modes_tracing():
            doubled = 2 * weight  # its own constant, and still exact
        return conv2d(gradient, doubled, stride=stride, padding=padding) / 2, None, None
    with disable_proxy_modes_tracing():  # a constant weight, computed now and not at run time
        kernel = weight.flip(2, 3).transpose(0, 1).contiguous()
    margin = [size - 1 - each for size, each in zip(weight.shape[2:], padding, strict=True)]
    return conv2d(gradient, kernel, padding=margin), None, None
