"""A graph without weights, and the graph that has them, to one ONNX graph that runs.

An explain graph computes with the weights of the network that it explains, and once more with the
decoder's kernels turned. So that a model holds them once, the explain graph's file names them
only, and they are put in when it is read. This needs no ONNX package: an ONNX file is a Protobuf
message, of which these few fields are read. This module checks no file; see `manifest.Graph`.

References
----------
Protobuf's wire format: https://protobuf.dev/programming-guides/encoding. Field numbers: onnx.proto.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

TURNED = ".turned"
"""Ends the name of a weight that is another one's kernel turned; see `turn_kernel`."""
MODEL_GRAPH, GRAPH_INITIALIZER = 7, 5
TENSOR_DIMS, TENSOR_TYPE, TENSOR_NAME, TENSOR_RAW_DATA = 1, 2, 8, 9
VARINT, FIXED_64, LENGTH, FIXED_32 = 0, 1, 2, 5
"""Protobuf's wire types."""
FIXED_BYTES = {FIXED_64: 8, FIXED_32: 4}
SEVEN_BITS, MORE = 0x7F, 0x80
"""The bits of a varint byte that hold the number, and the bit that says that more bytes follow."""


def fill_weights(content: bytes, source: bytes) -> bytes:
    """Return a graph with its weights.

    Parameters
    ----------
    content : bytes
        ONNX file; a weight that has no data there has the name of a weight of `source`, or that
        name and `TURNED`.
    source : bytes
        ONNX file whose weights are raw data, as exporters write them.

    Returns
    -------
    bytes
        ONNX file that needs no other; weights that had data keep it.

    Raises
    ------
    KeyError
        `source` has no weight of a name that is asked for.
    """
    weights = dict(_read_weights(source))
    parts = [
        _to_field(number, _fill_graph(value, weights)) if number == MODEL_GRAPH else whole
        for number, whole, value in _split(content)
    ]
    return b"".join(parts)


def turn_kernel(kernel: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return a kernel turned by half a turn, its input and output channels exchanged.

    Parameters
    ----------
    kernel : (out_channels, in_channels, rows, columns)
        Of a convolution with stride 1; with the turned one the gradient with respect to its input
        is a convolution too.

    Returns
    -------
    (in_channels, out_channels, rows, columns)
    """
    return np.ascontiguousarray(kernel[:, :, ::-1, ::-1].swapaxes(0, 1))


def _read_weights(source: bytes) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """Yield name and values of each weight; the values keep their bytes but not their type."""
    for number, _, graph in _split(source):
        if number != MODEL_GRAPH:
            continue
        for field, _, tensor in _split(graph):
            if field == GRAPH_INITIALIZER:
                yield _to_weight(tensor)


def _to_weight(tensor: bytes) -> tuple[str, NDArray[np.generic]]:
    name, raw = "", b""
    shape: list[int] = []
    for number, _, value in _split(tensor):
        if number == TENSOR_DIMS:  # onnx.proto is of the second syntax, which packs no numbers
            shape.append(_read_varint(value, 0)[0])
        elif number == TENSOR_NAME:
            name = value.decode()
        elif number == TENSOR_RAW_DATA:
            raw = value
    if not raw:
        return name, np.empty(0)
    itemsize = len(raw) // math.prod(shape)
    return name, np.frombuffer(raw, f"V{itemsize}").reshape(shape)


def _fill_graph(graph: bytes, weights: dict[str, NDArray[np.generic]]) -> bytes:
    parts = []
    for number, whole, tensor in _split(graph):
        if number != GRAPH_INITIALIZER or _has_data(tensor):
            parts.append(whole)
            continue
        name, _ = _to_weight(tensor)
        values = weights[name.removesuffix(TURNED)]
        if name.endswith(TURNED):
            values = turn_kernel(values)
        raw = _to_field(TENSOR_RAW_DATA, values.tobytes())
        parts.append(_to_field(GRAPH_INITIALIZER, tensor + raw))
    return b"".join(parts)


def _has_data(tensor: bytes) -> bool:
    """Return whether it has more than a shape, a type and a name."""
    known = (TENSOR_DIMS, TENSOR_TYPE, TENSOR_NAME)
    return any(number not in known for number, _, _ in _split(tensor))


def _split(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield each field of a message: its number, all its bytes, and those of its value."""
    at = 0
    while at < len(message):
        begin = at
        tag, at = _read_varint(message, at)
        number, wire_type = tag >> 3, tag & 7
        value_at = at
        if wire_type == VARINT:
            _, at = _read_varint(message, at)
        elif wire_type == LENGTH:
            length, value_at = _read_varint(message, at)
            at = value_at + length
        else:
            at += FIXED_BYTES[wire_type]
        yield number, message[begin:at], message[value_at:at]


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """Return a number, seven bits a byte with the lowest first, and where the next field begins."""
    value, shift = 0, 0
    while True:
        byte = message[at]
        value |= (byte & SEVEN_BITS) << shift
        at, shift = at + 1, shift + 7
        if not byte & MORE:
            return value, at


def _to_varint(value: int) -> bytes:
    parts = bytearray()
    while value >= MORE:
        parts.append(value & SEVEN_BITS | MORE)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _to_field(number: int, value: bytes) -> bytes:
    return _to_varint(number << 3 | LENGTH) + _to_varint(len(value)) + value
