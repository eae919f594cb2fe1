"""Quantise an FP32 ONNX graph to INT8 for CPUs: static quantisation (QDQ) with training images.

The ranges of activations are measured on training images. The last convolution and the sigmoid stay
in float32: the head's edge is where their values cross a threshold, and 256 steps are too coarse to
locate it. Weights have 7 bits: CPUs without VNNI add two products in 16 bits, which overflows with
8-bit weights, so the results would depend on the CPU. The new graph is a candidate. It ships only
after `evaluation.acceptance` has accepted it over HTTP.
"""

from collections.abc import Iterator
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
    "7 bits by channel, activations uint8 by tensor, logits and probabilities float32"
)
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

    Raises
    ------
    ValueError
        The graph does not end in a convolution and a sigmoid.
    """
    producers = {output: node for node in model.graph.node for output in node.output}
    sigmoid = producers[model.graph.output[0].name]
    head = producers[sigmoid.input[0]]
    if (sigmoid.op_type, head.op_type) != ("Sigmoid", "Conv"):
        raise ValueError(
            f"The graph ends in {head.op_type} and {sigmoid.op_type}; it must end in Conv and "
            "Sigmoid."
        )
    return [head.name, sigmoid.name]


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
        The graph does not end in a convolution and a sigmoid.
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
