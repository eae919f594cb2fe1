"""Fill an ONNX graph that has no weights with the weights of another ONNX graph.

An explain graph uses the weights of the network that it explains, and the decoder's kernels a
second time, rotated. To store them once, the explain graph's file only names these weights, and
they are filled in when the file is read. No ONNX package is needed: an ONNX file is a Protobuf
message, and this module reads the few fields it needs. It checks no SHA-256; see `graph.Graph`.

References
----------
Protobuf's wire format: https://protobuf.dev/programming-guides/encoding. Field numbers: onnx.proto.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

ROTATED_SUFFIX = ".turned"
"""Suffix of a weight that is another weight's kernel after `rotate_kernel`; part of the files."""
MODEL_GRAPH, GRAPH_INITIALIZER = 7, 5
TENSOR_DIMS, TENSOR_TYPE, TENSOR_NAME, TENSOR_RAW_DATA = 1, 2, 8, 9
VARINT, FIXED_64, LENGTH, FIXED_32 = 0, 1, 2, 5
"""Protobuf's wire types."""
FIXED_BYTES = {FIXED_64: 8, FIXED_32: 4}
SEVEN_BITS, MORE = 0x7F, 0x80
"""Payload bits of a varint byte, and the continuation bit."""


def fill_weights(content: bytes, source: bytes) -> bytes:
    """Fill in the weights of a graph.

    Parameters
    ----------
    content : bytes
        ONNX file. A weight without data has the name of a weight in `source`, with or without
        `ROTATED_SUFFIX`.
    source : bytes
        ONNX file that stores its weights as raw data, as exporters do.

    Returns
    -------
    bytes
        Complete ONNX file. Weights that already had data keep it.

    Raises
    ------
    KeyError
        `source` has no weight of a required name.
    """
    weights = dict(_read_weights(source))
    fields = [
        _to_field(number, _fill_graph(value, weights)) if number == MODEL_GRAPH else whole
        for number, whole, value in _split(content)
    ]
    return b"".join(fields)


def rotate_kernel(kernel: NDArray[np.generic]) -> NDArray[np.generic]:
    """Rotate a kernel by 180 degrees and swap its input and output channels.

    The gradient of a stride-1 convolution with respect to its input is a convolution with the
    rotated kernel.

    Parameters
    ----------
    kernel : (out_channels, in_channels, rows, columns)

    Returns
    -------
    (in_channels, out_channels, rows, columns)
    """
    return np.ascontiguousarray(kernel[:, :, ::-1, ::-1].swapaxes(0, 1))


def _read_weights(source: bytes) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """Yield name and values of each weight. The values are raw items without a numeric type."""
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
        if number == TENSOR_DIMS:  # onnx.proto has proto2 syntax: repeated numbers are not packed
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
    fields = []
    for number, whole, tensor in _split(graph):
        if number != GRAPH_INITIALIZER or _has_data(tensor):
            fields.append(whole)
            continue
        name, _ = _to_weight(tensor)
        values = weights[name.removesuffix(ROTATED_SUFFIX)]
        if name.endswith(ROTATED_SUFFIX):
            values = rotate_kernel(values)
        raw = _to_field(TENSOR_RAW_DATA, values.tobytes())
        fields.append(_to_field(GRAPH_INITIALIZER, tensor + raw))
    return b"".join(fields)


def _has_data(tensor: bytes) -> bool:
    """Return whether a tensor has fields other than shape, type and name."""
    known = (TENSOR_DIMS, TENSOR_TYPE, TENSOR_NAME)
    return any(number not in known for number, _, _ in _split(tensor))


def _split(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield number, all bytes and value bytes of each field of a message."""
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
    """Decode the varint at a position; return its value and the position after it."""
    value, shift = 0, 0
    while True:
        byte = message[at]
        value |= (byte & SEVEN_BITS) << shift
        at, shift = at + 1, shift + 7
        if not byte & MORE:
            return value, at


def _to_varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= MORE:
        encoded.append(value & SEVEN_BITS | MORE)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _to_field(number: int, value: bytes) -> bytes:
    return _to_varint(number << 3 | LENGTH) + _to_varint(len(value)) + value
