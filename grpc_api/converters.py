"""proto <-> numpy: the only file that knows both. Everything a client claims is checked before anything is allocated.

Source: Open Inference Protocol (KServe V2), "tensor data" and "raw tensor contents".
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grpc_api.stubs import knockguard_inference_pb2 as pb
from guard.errors import InvalidInputError
from guard.types import Array, Floats

# datatype on the wire -> numpy dtype and the typed field that carries it; FP16 and BF16 exist only raw.
DATATYPES: dict[str, tuple[np.dtype, str | None]] = {
    "BOOL": (np.dtype("?"), "bool_contents"),
    "UINT8": (np.dtype("<u1"), "uint_contents"),
    "UINT16": (np.dtype("<u2"), "uint_contents"),
    "UINT32": (np.dtype("<u4"), "uint_contents"),
    "UINT64": (np.dtype("<u8"), "uint64_contents"),
    "INT8": (np.dtype("<i1"), "int_contents"),
    "INT16": (np.dtype("<i2"), "int_contents"),
    "INT32": (np.dtype("<i4"), "int_contents"),
    "INT64": (np.dtype("<i8"), "int64_contents"),
    "FP16": (np.dtype("<f2"), None),
    "BF16": (np.dtype("<u2"), None),  # its bits: numpy has no such number, so it is read as float32
    "FP32": (np.dtype("<f4"), "fp32_contents"),
    "FP64": (np.dtype("<f8"), "fp64_contents"),
    "BYTES": (np.dtype("O"), "bytes_contents"),
}
_CHUNK = 1 << 14  # elements: about a millisecond
# What a typed field holds before it is narrowed to the datatype.
_WIDE = {"int_contents": np.dtype("<i4"), "uint_contents": np.dtype("<u4")}
MAX_RANK = 8
MAX_ELEMENTS = 1 << 31
MAX_BYTES_ELEMENTS = 1 << 16  # each becomes an object of its own: a message of empty ones would hold the event loop for seconds


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input as it is claimed to be. Its values stay in the message until `read`, so that a claim is refused for nothing.

    `read` returns an array of this shape, raw numbers as a view of the message; InvalidInputError if the values do not fit.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    read: Callable[[], Array]


def decode_inputs(request: pb.ModelInferRequest) -> list[Tensor]:
    """Return the inputs of a request; InvalidInputError if contents are mixed, missing, of another size, or of no known type.

    Nothing is converted yet, and nothing here takes longer for a larger message.
    """
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidInputError(
            f"{len(request.inputs)} inputs and {len(raw)} raw_input_contents; send one raw content for each input, in order"
        )
    tensors = []
    for index, item in enumerate(request.inputs):
        shape = checked_shape(item.name, item.shape)
        if item.datatype not in DATATYPES:
            raise InvalidInputError(f"input {item.name!r} has datatype {item.datatype!r}; known are {', '.join(DATATYPES)}")
        if raw and item.contents.ListFields():  # there and empty is how some clients say that the content is raw
            raise InvalidInputError(f"input {item.name!r} has both contents and raw_input_contents; send one of them")
        if item.datatype == "BYTES" and math.prod(shape) > MAX_BYTES_ELEMENTS:
            raise InvalidInputError(f"input {item.name!r} has shape {list(shape)}; at most {MAX_BYTES_ELEMENTS} BYTES are read")
        read = _raw_reader(item, shape, raw[index]) if raw else _typed_reader(item, shape)
        tensors.append(Tensor(item.name, item.datatype, shape, read))
    return tensors


def checked_shape(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    """Return a claimed shape; InvalidInputError if a dimension is negative or the whole absurd. Python's ints do not overflow."""
    if len(shape) > MAX_RANK:
        raise InvalidInputError(f"input {name!r} has {len(shape)} dimensions; at most {MAX_RANK} are read")
    if any(d < 0 for d in shape):
        raise InvalidInputError(f"input {name!r} has shape {list(shape)}; dimensions must not be negative")
    if math.prod(shape) > MAX_ELEMENTS:
        raise InvalidInputError(f"input {name!r} has shape {list(shape)}; at most {MAX_ELEMENTS} elements are read")
    return tuple(shape)


def _raw_reader(item: pb.ModelInferRequest.InferInputTensor, shape: tuple[int, ...], content: bytes) -> Callable[[], Array]:
    n_elements = math.prod(shape)
    if item.datatype == "BYTES":
        return lambda: _as_objects(split_bytes(content, n_elements, name=item.name), shape)
    dtype = DATATYPES[item.datatype][0]
    if len(content) != (needed := n_elements * dtype.itemsize):
        raise InvalidInputError(
            f"input {item.name!r} has {len(content)} bytes; {item.datatype} of shape {list(shape)} needs {needed}"
        )
    values = np.frombuffer(content, dtype=dtype).reshape(shape)
    return (lambda: _from_bfloat16(values)) if item.datatype == "BF16" else (lambda: values)


def _typed_reader(item: pb.ModelInferRequest.InferInputTensor, shape: tuple[int, ...]) -> Callable[[], Array]:
    field = DATATYPES[item.datatype][1]
    if field is None:
        raise InvalidInputError(f"input {item.name!r}: {item.datatype} has no typed contents; send it in raw_input_contents")
    filled = [f.name for f, _ in item.contents.ListFields()]
    if others := [name for name in filled if name != field]:
        raise InvalidInputError(f"input {item.name!r}: {item.datatype} belongs in {field}, not in {others[0]}")
    values = getattr(item.contents, field)
    if len(values) != math.prod(shape):
        raise InvalidInputError(
            f"input {item.name!r} has {len(values)} values in {field}; shape {list(shape)} needs {math.prod(shape)}"
        )
    if item.datatype == "BYTES":
        return lambda: _as_objects(list(values), shape)
    return lambda: _from_typed(item, field, len(values)).reshape(shape)


def _from_typed(item: pb.ModelInferRequest.InferInputTensor, field: str, n: int) -> Array:
    """Return (n,) values of a typed field, at no time as n objects of Python's."""
    dtype = DATATYPES[item.datatype][0]
    if dtype.kind == "f":  # of fixed width, so the field's encoding ends with the array itself
        item.contents.DiscardUnknownFields()
        packed = item.contents.SerializeToString()
        return np.frombuffer(packed, dtype, count=n, offset=len(packed) - n * dtype.itemsize)
    values, narrow = getattr(item.contents, field), np.empty(n, dtype)
    wide = _WIDE.get(field, dtype)
    for start in range(0, n, _CHUNK):  # between two chunks, other threads have their turn
        part = slice(start, start + _CHUNK)
        chunk = np.array(values[part], dtype=wide)
        narrow[part] = chunk.astype(dtype)
        if field in _WIDE and (narrow[part] != chunk).any():
            raise InvalidInputError(f"input {item.name!r} holds a value that {item.datatype} cannot")
    return narrow


def _from_bfloat16(bits: Array) -> Floats:
    """Return what the upper halves of float32 stand for; exact."""
    return np.asarray(np.left_shift(bits, 16, dtype="<u4").view("<f4"))


def _as_objects(elements: list[bytes], shape: tuple[int, ...]) -> Array:
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return array.reshape(shape)


def split_bytes(content: bytes, n_elements: int, *, name: str) -> list[bytes]:
    """Return the elements of a raw BYTES tensor: each a little-endian uint32 length, then so many bytes."""
    elements: list[bytes] = []
    position = 0
    while len(elements) < n_elements:
        end = position + 4
        if end > len(content):
            raise InvalidInputError(f"input {name!r} is cut short: element {len(elements)} of {n_elements} has no length")
        length = int.from_bytes(content[position:end], "little")
        if length > len(content) - end:
            raise InvalidInputError(
                f"input {name!r} is cut short: element {len(elements)} claims {length} bytes, {len(content) - end} are left"
            )
        elements.append(content[end : end + length])
        position = end + length
    if position != len(content):
        raise InvalidInputError(f"input {name!r} has {len(content) - position} bytes after its {n_elements} elements")
    return elements


def encode_output(response: pb.ModelInferResponse, name: str, values: Array, *, raw: bool) -> None:
    """Append one output, FP32 or BYTES by its dtype, raw or typed as the client sent its inputs; tritonclient reads only raw."""
    datatype = "BYTES" if values.dtype == object else "FP32"
    output = response.outputs.add(name=name, datatype=datatype, shape=values.shape)
    if not raw:
        getattr(output.contents, str(DATATYPES[datatype][1])).extend(values.ravel().tolist())
    elif datatype == "BYTES":
        response.raw_output_contents.append(b"".join(len(e).to_bytes(4, "little") + e for e in values.ravel()))
    else:
        response.raw_output_contents.append(np.ascontiguousarray(values, dtype="<f4").tobytes())


def encode_input(request: pb.ModelInferRequest, name: str, values: Array) -> None:
    """Append one raw input, uint8 or float32: what our own client sends."""
    datatype = "UINT8" if values.dtype == np.uint8 else "FP32"
    request.inputs.add(name=name, datatype=datatype, shape=values.shape)
    request.raw_input_contents.append(np.ascontiguousarray(values, dtype=DATATYPES[datatype][0]).tobytes())


def decode_output(response: pb.ModelInferResponse, index: int) -> Floats:
    """Return one output as float32, raw or typed; InvalidInputError if the server's answer does not fit its own shape."""
    item, raw = response.outputs[index], response.raw_output_contents
    shape = checked_shape(item.name, item.shape)
    dtype, field = DATATYPES.get(item.datatype, (np.dtype("O"), None))
    values: Array | None = None
    if dtype.kind != "f":
        pass
    elif len(raw) == len(response.outputs):
        values = np.frombuffer(raw[index], dtype) if len(raw[index]) == dtype.itemsize * math.prod(shape) else None
    elif not raw and field is not None:
        values = np.array(getattr(item.contents, field), dtype)
    if values is None or values.size != math.prod(shape):
        raise InvalidInputError(f"the server's output {item.name[:128]!r} is no tensor of floats of shape {list(shape)}")
    return values.reshape(shape).astype(np.float32, copy=False)


def decode_outputs(response: pb.ModelInferResponse, names: Sequence[str]) -> list[Floats]:
    """Return the named outputs as float32, in this order; InvalidInputError as `decode_output` has it, or if one is not there."""
    indices = {item.name: index for index, item in enumerate(response.outputs)}
    if missing := [name for name in names if name not in indices]:
        raise InvalidInputError(f"the server's answer has no output {missing[0]!r}; it has {', '.join(indices)[:128] or 'none'}")
    return [decode_output(response, indices[name]) for name in names]


def replace_output(response: Any, name: str, values: Floats) -> Any:
    """Return a response of the same class whose only output is this one, with other values; type and form stay as they were."""
    index = next(i for i, item in enumerate(response.outputs) if item.name == name)
    made = type(response)(model_name=response.model_name, model_version=response.model_version, id=response.id)
    for key, value in response.parameters.items():
        made.parameters[key].CopyFrom(value)
    item = made.outputs.add()
    item.CopyFrom(response.outputs[index])
    dtype, field = DATATYPES[item.datatype]
    given = np.ascontiguousarray(values, dtype)
    item.ClearField("contents")
    if response.raw_output_contents:
        made.raw_output_contents.append(given.tobytes())
    elif field is not None:
        getattr(item.contents, field).extend(given.ravel().tolist())
    return made
