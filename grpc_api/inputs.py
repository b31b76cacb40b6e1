"""From a request's tensors to what the model takes: names, shapes, layouts and values checked against the bundle."""

import numpy as np

from grpc_api.converters import Tensor
from guard.bundle import InputSpec
from guard.errors import InvalidInputError
from guard.preprocess import to_inputs
from guard.types import Floats


def model_input(tensors: list[Tensor], spec: InputSpec, *, max_rows: int) -> Floats:
    """Return (n, ...) float32 in the graph's layout, n from 0 to `max_rows`.

    FP32 is the graph's own input. UINT8 is grey levels in either layout; the bundle's scale, mean and std are applied here. A
    shape without batch dimension is not guessed at. InvalidInputError names what was sent, what is taken, and the way out.
    """
    if len(tensors) != 1 or tensors[0].name != spec.name:
        names = ", ".join(repr(t.name) for t in tensors) or "no input"
        raise InvalidInputError(f"got {names}; the model takes one input, {spec.name!r}")
    tensor = tensors[0]
    shape = tensor.values.shape
    if tensor.datatype not in ("FP32", "UINT8"):
        raise InvalidInputError(f"input {spec.name!r} is {tensor.datatype}; send FP32, UINT8 levels, or JPEG or PNG as BYTES")
    swapped = (*spec.shape[1:], spec.shape[0]) if spec.layout == "NCHW" else (spec.shape[2], *spec.shape[:2])
    allowed = [spec.shape] if tensor.datatype == "FP32" else [spec.shape, swapped]
    if shape[1:] not in allowed:
        wanted = " or ".join(str([-1, *s]) for s in allowed)
        raise InvalidInputError(f"input {spec.name!r} has shape {list(shape)}; {tensor.datatype} must have shape {wanted}")
    if shape[0] > max_rows:
        raise InvalidInputError(
            f"{shape[0]} rows in one request; at most {max_rows} are answered at once, so send several requests"
        )
    if tensor.datatype == "UINT8":
        # Where both layouts have one shape, such as (3, 3, 3), it is read as the graph's own.
        channels_last = (shape[1:] == spec.shape) == (spec.layout == "NHWC")
        return to_inputs(tensor.values if channels_last else np.moveaxis(tensor.values, 1, 3), spec)
    inputs = np.asarray(tensor.values, dtype=np.float32)
    if not np.isfinite(inputs).all():
        raise InvalidInputError(f"input {spec.name!r} holds values that are not finite")
    return inputs
