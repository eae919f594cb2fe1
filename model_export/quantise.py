"""FP32 ONNX graph to INT8: static quantisation with real images (QDQ), for the CPU.

Weights and activations are scaled by the ranges that training images really take; the convolution
that gives the logits and the sigmoid after it stay in float32, because the head's edge is where
their values cross a threshold and 256 steps are too few to say where. Weights take 7 bits: CPUs
without VNNI add two products in 16 bits, which overflows with 8, so that answers would depend on
the CPU. A graph made here is a candidate: it ships only after `evaluation.acceptance` has accepted
it over HTTP.
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
"""Every eighth training image gives ranges: 76 of 606, some of every size."""


class Frames(CalibrationDataReader):
    """Network inputs of real images, one after the other, as ONNX Runtime asks for them."""

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
    """Return the names of the nodes that give the probabilities and the logits.

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
            f"The graph ends in {head.op_type} and {sigmoid.op_type}; Conv and Sigmoid are needed."
        )
    return [head.name, sigmoid.name]


def write_int8(source: Path, path: Path, images: list[HC18Image], facts: InputFacts) -> None:
    """Quantise a graph.

    Parameters
    ----------
    source : Path
        The float32 ONNX file.
    path : Path
        Of the file to write; inputs and outputs stay float32.
    images : list of HC18Image
        Training images; their values decide the ranges.
    facts : InputFacts
        The grid.

    Raises
    ------
    ValueError
        The graph has another shape than this project's.
    """
    with TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        # The symbolic pass serves transformers only; shapes of a convolutional graph need none.
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
