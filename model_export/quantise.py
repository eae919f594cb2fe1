"""Quantise an FP32 ONNX graph to INT8 for CPUs: static quantisation (QDQ) with training images.

The ranges of activations are measured on training images. The last layer and the sigmoid of each
output stay in float32: the head's edge is where their values cross a threshold, and 256 steps are
too coarse to locate it. So do the pooled features of the head-plane output: one range for all of
them leaves few steps to the small ones. Weights have 7 bits: CPUs without VNNI add two products in
16 bits, which overflows with 8-bit weights, so the results would depend on the CPU. The new graph
is a candidate. It ships only after `evaluation.acceptance` has accepted it over HTTP.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from tqdm import tqdm

from headcirc.model.manifest import InputFacts
from headcirc.network_input import to_network_input
from training.data.hc18 import HC18Image, load_pixels

METHOD = (
    "ONNX Runtime static quantisation (QDQ): ranges by minimum and maximum, weights int8 of "
    "7 bits by channel, activations uint8 by tensor; pooled features, logits and probabilities "
    "float32"
)
LOGIT_LAYERS = ("Conv", "Gemm")
POOLING = ("ReduceMean", "ReduceMax", "Concat")
"""Nodes that give the features of a fully connected layer."""
EVERY = 8
"""The ranges are measured on every eighth training image: 76 of 606, with heads of all sizes."""


class Frames(CalibrationDataReader):
    """Iterator over network inputs of images, for ONNX Runtime's calibration."""

    def __init__(self, images: list[HC18Image], facts: InputFacts, input_name: str) -> None:
        self._inputs = self._read(images, facts)
        self._name = input_name

    @staticmethod
    def _read(images: list[HC18Image], facts: InputFacts) -> Iterator[NDArray[np.float32]]:
        for image in tqdm(images, "ranges", unit="image"):
            yield to_network_input(load_pixels(image.path), facts)[0]

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next input by name, or None after the last."""
        network_input = next(self._inputs, None)
        return None if network_input is None else {self._name: network_input}


def find_output_nodes(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes that output the logits and the probabilities.

    For each output these are the sigmoid and the nodes before it, up to the last convolution or
    fully connected layer; between the two, a sub-pixel head rearranges the logits. Before a fully
    connected layer they also are the nodes that pool its features.

    Raises
    ------
    ValueError
        An output does not come from a sigmoid of such a layer.
    """
    producers = {output: node for node in model.graph.node for output in node.output}
    names = []
    for output in model.graph.output:
        node = producers[output.name]
        kinds = [node.op_type]
        names.append(node.name)
        while kinds[-1] not in LOGIT_LAYERS and node.input[0] in producers:
            node = producers[node.input[0]]
            kinds.append(node.op_type)
            names.append(node.name)
        if kinds[0] != "Sigmoid" or kinds[-1] not in LOGIT_LAYERS:
            raise ValueError(
                f"The output {output.name!r} ends in {' and '.join(reversed(kinds))}; it must end "
                f"in {' or '.join(LOGIT_LAYERS)} and Sigmoid."
            )
        if node.op_type == "Gemm":
            names += _find_pooling(node, producers)
    return names


def _find_pooling(layer: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto]) -> list[str]:
    """Return the names of the nodes before a fully connected layer that only pool features."""
    names, pending = [], [layer]
    while pending:
        before = [producers[name] for name in pending.pop().input if name in producers]
        pending += [node for node in before if node.op_type in POOLING]
        names += [node.name for node in before if node.op_type in POOLING]
    return names


def write_int8(source: Path, path: Path, images: list[HC18Image], facts: InputFacts) -> None:
    """Quantise a graph.

    Parameters
    ----------
    source : Path
        The float32 ONNX file.
    path : Path
        File to write; inputs and outputs stay float32.
    images : list of HC18Image
        Training images for the ranges of the activations.
    facts : InputFacts
        The network's grid.

    Raises
    ------
    ValueError
        An output does not come from a sigmoid of a convolution or a fully connected layer.
    """
    with TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        # Symbolic shape inference is only needed for transformers.
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        model = onnx.load(prepared)
        quantize_static(
            str(prepared),
            str(path),
            Frames(images, facts, model.graph.input[0].name),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=find_output_nodes(model),
        )
    onnx.checker.check_model(onnx.load(path), full_check=True)
