"""Models of flattened images, as scikit-learn's are: (n, d) in, put behind a Reshape, so that they take images as others do."""

from math import prod

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

from guard.errors import GraphError

_IMAGE, _ROWS = "image", "knockguard-flat/shape"


def takes_rows(model: ModelProto) -> bool:
    """Whether the graph's one input is (n, d)."""
    return [len(i.type.tensor_type.shape.dim) for i in _inputs(model)] == [2]


def unflatten(model: ModelProto, shape: tuple[int, ...]) -> None:
    """Let the graph take (n, *shape), flattened as numpy does, in place.

    GraphError unless its one input is float32 (n, d) with d the shape's product, or free.
    """
    inputs = _inputs(model)
    dims = [d.dim_value if d.HasField("dim_value") else None for i in inputs for d in i.type.tensor_type.shape.dim]
    width = prod(shape)
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != TensorProto.FLOAT or len(dims) != 2:
        raise GraphError("an input shape is for graphs that take flattened images, one float32 input (n, d); this one does not")
    if min(shape) < 1 or dims[1] not in (None, width):
        raise GraphError(
            f"the graph takes {dims[1]} numbers an image, and {' x '.join(map(str, shape))} are {width}; they must agree"
        )
    (flat,) = inputs
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    image = next(name for name in (_IMAGE, f"{_IMAGE}/whole", f"{flat.name}/{_IMAGE}") if name not in taken)
    row = helper.make_node("Reshape", [image, _ROWS], [flat.name], name="knockguard-flat/Reshape")
    model.graph.node.insert(0, row)
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1, width], np.int64), _ROWS))
    at = next(i for i, known in enumerate(model.graph.input) if known.name == flat.name)
    del model.graph.input[at]
    model.graph.input.append(helper.make_tensor_value_info(image, TensorProto.FLOAT, [None, *shape]))


def _inputs(model: ModelProto) -> list[ValueInfoProto]:
    weights = {initializer.name for initializer in model.graph.initializer}
    return [i for i in model.graph.input if i.name not in weights]
