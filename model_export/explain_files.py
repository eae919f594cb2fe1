"""Write the explain graphs' files without the weights that the network's graphs already contain.

The forward weights are equal to those of the network's graph, and the weights of the gradient are
its rotated decoder kernels, bit by bit. A file therefore only names each weight of a shipped graph,
and stores the few other constants. `headcirc.model.shared_weights` fills in the weights.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper
from torch import nn

from headcirc.model.manifest import InputFacts
from headcirc.model.shared_weights import ROTATED_SUFFIX, fill_weights, rotate_kernel
from model_export.explain import (
    DEFAULT_LAYER,
    to_attention_levels,
    to_layers,
    write_explain,
)
from model_export.fp16 import write_fp16
from training.checkpoint import to_file_sha256
from training.networks.attention_resunet import AttentionResUNet

EXPLAIN_NAMES = {"fp32": "model.explain.onnx", "fp16": "model.explain.fp16.onnx"}
"""Precision to file name."""
Values = tuple[tuple[int, ...], str, bytes]


def write_explain_files(
    network: AttentionResUNet, sources: Mapping[str, Path], facts: InputFacts, *, threshold: float
) -> dict[str, Any]:
    """Write an explain graph beside the network's graph of each precision.

    Parameters
    ----------
    network : AttentionResUNet
        In evaluation mode, with attention.
    sources : mapping
        Precision (`fp32` and optionally `fp16`) to the file of the network's graph.
    facts : InputFacts
        The network's grid.
    threshold : float
        A pixel belongs to the predicted head above this probability.

    Returns
    -------
    dict
        The manifest's section `explain`.
    """
    folder = sources["fp32"].parent
    paths = {precision: folder / EXPLAIN_NAMES[precision] for precision in sources}
    write_explain(network, paths["fp32"], facts, threshold=threshold)
    if "fp16" in paths:
        write_fp16(paths["fp32"], paths["fp16"])
    for precision, path in paths.items():
        share_weights(path, sources[precision])
    graphs = {
        precision: {
            "file": path.name,
            "sha256": to_file_sha256(path),
            "weights_from": sources[precision].name,
        }
        for precision, path in paths.items()
    }
    return to_explain_facts(network, graphs)


def to_explain_facts(network: nn.Module, graphs: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Return the manifest's section `explain` for a network's graphs by precision."""
    return {
        "graphs": graphs,
        "layers": list(to_layers(network)),
        "default_layer": DEFAULT_LAYER,
        "attention_levels": list(to_attention_levels(network)),
        "score": "mean logit over the predicted head (Seg-Grad-CAM, Vinogradova 2020)",
        "unit": "the map's own maximum",
    }


def share_weights(path: Path, source: Path) -> None:
    """Remove the values of all weights that another graph contains, and keep their names.

    Parameters
    ----------
    path : Path
        A complete ONNX file; it is overwritten.
    source : Path
        The ONNX file with the weights, which ships beside it.
    """
    model = onnx.load(path)
    held = _find_weights(source)
    # The exporter numbers its values, so one name can mean different things in two graphs.
    taken = {output for node in model.graph.node for output in node.output}
    taken |= {weight.name for weight in model.graph.initializer}
    names: dict[str, str] = {}
    kept: dict[str, onnx.TensorProto] = {}
    for weight in model.graph.initializer:
        name = held.get(_to_values(numpy_helper.to_array(weight)))
        if name is None or (name in taken and name != weight.name):
            kept[weight.name] = weight
        else:
            names[weight.name] = name
            kept[name] = onnx.TensorProto(name=name, dims=weight.dims, data_type=weight.data_type)
    for node in model.graph.node:
        node.input[:] = [names.get(each, each) for each in node.input]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept.values())
    content = model.SerializeToString(deterministic=True)
    whole = onnx.load_from_string(fill_weights(content, source.read_bytes()))
    onnx.checker.check_model(whole, full_check=True)
    path.write_bytes(content)


def _find_weights(source: Path) -> dict[Values, str]:
    """Return the names of all weights and of their rotated kernels, by values."""
    held: dict[Values, str] = {}
    for weight in onnx.load(source).graph.initializer:
        values = numpy_helper.to_array(weight)
        if not weight.raw_data:
            continue
        if values.ndim == 4:
            held.setdefault(_to_values(rotate_kernel(values)), weight.name + ROTATED_SUFFIX)
        held[_to_values(values)] = weight.name  # prefer the weight itself over a rotated one
    return held


def _to_values(values: Any) -> Values:
    return values.shape, values.dtype.str, values.tobytes()
