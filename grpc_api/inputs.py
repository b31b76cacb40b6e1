"""From a request's tensors to what the model takes: names, shapes, layouts and values checked against the bundle."""

import math

import numpy as np

from grpc_api.converters import Tensor
from guard.bundle import InputSpec
from guard.errors import InvalidInputError
from guard.preprocess import to_inputs
from guard.types import Floats

FLOATS = ("FP32", "FP64", "FP16", "BF16")  # the graph's own values, as exact as the sender has them
DATATYPES_TAKEN = (*FLOATS, "UINT8", "BYTES")


def checked_input(tensors: list[Tensor], spec: InputSpec, *, max_rows: int) -> Tensor:
    """Return the one tensor of a request that the model can take, with 0 to `max_rows` rows; none of its values are read.

    Floats are the graph's own input. UINT8 is grey levels in either layout. A shape without batch dimension is not guessed at.
    InvalidInputError names what was sent, what is taken, and the way out.
    """
    if len(tensors) != 1 or tensors[0].name != spec.name:
        names = ", ".join(repr(t.name) for t in tensors) or "no input"
        raise InvalidInputError(f"got {names}; the model takes one input, {spec.name!r}")
    tensor = tensors[0]
    shape = tensor.shape
    is_float = tensor.datatype in FLOATS
    if not is_float and tensor.datatype != "UINT8":
        raise InvalidInputError(
            f"input {spec.name!r} is {tensor.datatype}; send {', '.join(FLOATS)}, UINT8 levels, or JPEG or PNG as BYTES"
        )
    allowed = [spec.shape] if is_float else [spec.shape, _other_layout(spec)]
    if shape[1:] not in allowed:
        wanted = " or ".join(str([-1, *s]) for s in allowed)
        raise InvalidInputError(f"input {spec.name!r} has shape {list(shape)}; {tensor.datatype} must have shape {wanted}")
    if shape[0] > max_rows:
        raise InvalidInputError(
            f"{shape[0]} rows in one request; at most {max_rows} are answered at once, so send several requests"
        )
    return tensor


def claimed_bytes(tensors: list[Tensor], spec: InputSpec, *, max_rows: int) -> int:
    """Return how many bytes of float32 the model's input takes for what is claimed, be it good or not."""
    rows = max((tensor.shape[0] for tensor in tensors if tensor.shape), default=0)
    return min(rows, max_rows) * math.prod(spec.shape) * 4


def model_input(tensor: Tensor, spec: InputSpec) -> Floats:
    """Return (n, ...) float32 in the graph's layout of a checked tensor; InvalidInputError if a value is not finite.

    The bundle's scale, mean and std are applied to grey levels here.
    """
    values = tensor.read()
    if tensor.datatype == "UINT8":
        # Where both layouts have one shape, such as (3, 3, 3), it is read as the graph's own.
        channels_last = (values.shape[1:] == spec.shape) == (spec.layout == "NHWC")
        return to_inputs(values if channels_last else np.moveaxis(values, 1, 3), spec)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is told below
        inputs = np.asarray(values, dtype=np.float32)
    if not np.isfinite(inputs).all():
        raise InvalidInputError(f"input {spec.name!r} holds values that are not finite")
    return inputs


def _other_layout(spec: InputSpec) -> tuple[int, ...]:
    return (*spec.shape[1:], spec.shape[0]) if spec.layout == "NCHW" else (spec.shape[2], *spec.shape[:2])
