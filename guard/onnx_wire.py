"""Looks into an ONNX file for references to other files, without the onnx package.

A gateway does not install `onnx`, and ONNX Runtime follows external data to wherever a model points. This walks the protobuf
wire format along the few fields that can hold a tensor, skips everything else by its length, and reads no weights.
Field numbers: onnx.proto, IR version 3 and later.
"""

from collections.abc import Iterator, Mapping
from typing import Union

from guard.errors import BundleError

# message -> field number -> message of that field; a name alone is a leaf that we read.
_Shape = Mapping[int, Union["_Shape", str]]
_TENSOR: dict[int, object] = {13: "external"}
_GRAPH: dict[int, object] = {}
_ATTRIBUTE: dict[int, object] = {
    5: _TENSOR,
    6: _GRAPH,
    10: _TENSOR,
    11: _GRAPH,
    22: {1: _TENSOR, 2: _TENSOR},
    23: {1: _TENSOR, 2: _TENSOR},
}
_NODE: dict[int, object] = {5: _ATTRIBUTE}
_GRAPH.update({1: _NODE, 5: _TENSOR, 15: {1: _TENSOR, 2: _TENSOR}})
_MODEL: dict[int, object] = {7: _GRAPH, 20: {1: _GRAPH, 2: _GRAPH}, 25: {7: _NODE, 11: _ATTRIBUTE}}

_MAX_DEPTH = 64


def external_files(model: bytes) -> int:
    """Return how many tensors of an ONNX model live in other files; BundleError if the bytes are no protobuf message."""
    return sum(1 for _ in _walk(memoryview(model), _MODEL, 0))


def _walk(message: memoryview, shape: Mapping[int, object], depth: int) -> Iterator[None]:
    if depth > _MAX_DEPTH:
        raise BundleError(f"the model nests deeper than {_MAX_DEPTH} messages; no exporter writes that")
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        if tag >> 32 or not tag >> 3:  # protobuf keeps 32 bits of a tag: a longer one would be read as another field
            raise BundleError(f"the model is not an ONNX file (protobuf tag {tag:#x})")
        wire_type = tag & 7
        if wire_type == 0:
            _, position = _varint(message, position)
            continue
        length = {1: 8, 5: 4}.get(wire_type)
        if length is None:
            if wire_type != 2:
                raise BundleError(f"the model is not an ONNX file (protobuf wire type {wire_type})")
            length, position = _varint(message, position)
        if length > len(message) - position:
            raise BundleError(f"the model is cut short: a field of {length} bytes, {len(message) - position} left")
        inner = shape.get(tag >> 3)
        if inner == "external":
            yield None
        elif isinstance(inner, dict) and wire_type == 2:
            yield from _walk(message[position : position + length], inner, depth + 1)
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise BundleError("the model is cut short inside a number")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise BundleError("the model is not an ONNX file (a number of more than 10 bytes)")
