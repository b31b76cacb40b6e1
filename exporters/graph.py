"""Reads somebody's ONNX file and settles what the rest relies on: one image, weights inside, any batch size, known shapes."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import onnx
from google.protobuf.message import DecodeError, EncodeError
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, inliner, numpy_helper, shape_inference

from exporters.external import inline_external
from exporters.flat import unflatten
from exporters.rewrite import reads, sort
from exporters.runtime import run
from exporters.zipmap import without_zipmap
from guard.errors import BundleError, GraphError
from guard.onnx_wire import external_files

MIN_OPSET = 13
MAX_BYTES = (2 << 30) - 1  # protobuf's limit for one message
Shape = tuple[int | None, ...]  # None: free
_BATCH = "n"
_ROWS_AGREE = 1e-3  # of the largest value; float32 sums are taken in another order in another batch


class ImageInput(NamedTuple):
    """The graph's one input: `shape` is a row's, (c, h, w) or (h, w, c) by `layout`."""

    name: str
    shape: tuple[int, int, int]
    layout: Literal["NCHW", "NHWC"]


def load_graph(path: Path, *, flat: tuple[int, int, int] | None = None) -> ModelProto:
    """Return the model with its weights inside, a free batch dimension and inferred shapes.

    With `flat` the graph takes flattened images (n, d), of this shape, and will take them whole.
    GraphError if the file is missing, empty, cut short, larger than 2 GiB, no ONNX model, older than opset 13 or newer than the
    installed `onnx`, keeps weights outside its folder, has another input than one float32 image, or mixes the rows of a batch.
    """
    model = read_graph(path)
    if flat is not None:
        unflatten(model, flat)
    image = input_of(model)
    _free_batch(model)
    model = infer_shapes(model)
    _check_rows(model, image)
    return model


def read_graph(path: Path) -> ModelProto:
    """Return the model as its author wrote it, weights inside, functions written out, nodes in order, without ZipMap.

    GraphError as `load_graph`'s.
    """
    model = _parse(path)
    inline_external(model, path.parent, max_bytes=MAX_BYTES)
    try:
        if external_files(model.SerializeToString()):
            raise GraphError(f"{path.name} keeps weights in other files where none are looked for; save it as one file")
    except BundleError as error:
        raise GraphError(f"{path.name}: {error}") from None
    opset_of(model)
    model = inliner.inline_local_functions(model) if model.functions else model
    sort(model.graph)
    without_zipmap(model)
    return model


def graph_bytes(model: ModelProto) -> bytes:
    """Return the file's bytes, the same for the same model; GraphError beyond 2 GiB."""
    try:
        return model.SerializeToString(deterministic=True)
    except (EncodeError, ValueError):
        raise GraphError(f"the model needs more than {MAX_BYTES} bytes; one ONNX message holds no more") from None


def opset_of(model: ModelProto) -> int:
    """Return the version of the standard operators; GraphError unless it is 13 to the newest that `onnx` knows."""
    newest = onnx.defs.onnx_opset_version()
    version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if not MIN_OPSET <= version <= newest:
        raise GraphError(
            f"the model uses opset {version}; {MIN_OPSET} to {newest} are read, so export it with opset_version=18, or "
            "target_opset=18 as other converters call it"
        )
    return version


def input_of(model: ModelProto) -> ImageInput:
    """Return the image input; GraphError unless there is exactly one, float32, of rank 4, with known channels and size."""
    weights = {initializer.name for initializer in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(repr(i.name) for i in inputs) or "none"
        raise GraphError(f"the graph has {len(inputs)} inputs ({names}); exactly one image is read")
    (image,) = inputs
    kind = image.type.tensor_type.elem_type
    if kind != TensorProto.FLOAT:
        found = TensorProto.DataType.Name(kind).lower()
        raise GraphError(f"input {image.name!r} is {found}; it must be float32, so put a Cast in front of the model")
    dims = tensor_shape(image)
    if dims is not None and len(dims) == 2:
        raise GraphError(
            f"input {image.name!r} has shape {dims}: flattened images; say what shape they have, as it was flattened: "
            "--input-shape 32,32,3 (height, width, channels) or 3,32,32"
        )
    if dims is None or len(dims) != 4:
        raise GraphError(f"input {image.name!r} has shape {dims}; it must have four dimensions, (n, c, h, w) or (n, h, w, c)")
    _, a, b, c = dims
    if a is None or b is None or c is None or min(a, b, c) < 1:
        raise GraphError(f"input {image.name!r} has shape {dims}; channels, height and width must be fixed, so export them so")
    channels = (1, 3, 4)
    layout: Literal["NCHW", "NHWC"] = "NHWC" if c in channels and a not in channels else "NCHW"
    return ImageInput(image.name, (a, b, c), layout)


def input_shape(model: ModelProto) -> tuple[int, int, int]:
    """Return one row's shape, (c, h, w) or (h, w, c) as the graph has it."""
    return input_of(model).shape


def tensor_shape(info: ValueInfoProto) -> Shape | None:
    """Return the dimensions of a tensor, None for each that is free, or None if not even their count is known."""
    kind = info.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)


def infer_shapes(model: ModelProto) -> ModelProto:
    """Return the model with the shape of every tensor that can be known; GraphError if the graph contradicts itself."""
    try:
        return shape_inference.infer_shapes(model, data_prop=True)
    except (shape_inference.InferenceError, ValueError) as error:
        raise GraphError(f"the graph's shapes do not fit each other: {str(error).partition(chr(10))[0]}") from None


def _parse(path: Path) -> ModelProto:
    try:
        size = path.stat().st_size
        if not path.is_file():  # a pipe would be waited for, a device read for ever
            raise GraphError(f"{path} is no file; give the model's .onnx file")
        if size > MAX_BYTES:
            raise GraphError(f"{path} has {size} bytes; an ONNX file has at most {MAX_BYTES}")
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = error.strerror if isinstance(error, OSError) else error
        raise GraphError(f"cannot read the model {path} ({reason})") from None
    if not data:
        raise GraphError(f"{path} is empty; export the model again")
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise GraphError(f"{path} is not an ONNX file, or is cut short; copy or export it again") from None
    if not model.graph.node or not model.opset_import or not model.graph.output:
        raise GraphError(f"{path} is not an ONNX file: no graph with nodes and outputs is in it")
    return model


def _free_batch(model: ModelProto) -> None:
    """Make the first dimension free, in place, where an exporter fixed it; `_check_rows` proves afterwards that it worked."""
    weights = {initializer.name: initializer for initializer in model.graph.initializer}
    image = next(i for i in model.graph.input if i.name not in weights)
    first = image.type.tensor_type.shape.dim[0]
    fixed = first.dim_value if first.HasField("dim_value") else None
    first.dim_param = _BATCH  # the same name whatever it was called
    if fixed is None:
        return
    del model.graph.value_info[:]
    for output in model.graph.output:
        if (shape := tensor_shape(output)) and shape[0] == fixed:
            output.type.tensor_type.shape.dim[0].dim_param = _BATCH
    constants = weights | {n.output[0]: n.attribute[0].t for n in model.graph.node if n.op_type == "Constant" and n.attribute}
    carried = from_image(model)
    for index, node in enumerate(model.graph.node):
        if node.op_type == "Reshape" and node.input[0] in carried and node.input[1] in constants:
            _free_reshape(model, node, numpy_helper.to_array(constants[node.input[1]]).copy(), fixed, index)


def from_image(model: ModelProto) -> set[str]:
    """Return the tensors that depend on the image's values, the image among them."""
    carried = {input_of(model).name}
    for node in model.graph.node:
        if node.op_type not in ("Shape", "Size") and carried & reads(node):
            carried.update(node.output)
    return carried


def _free_reshape(model: ModelProto, node: NodeProto, shape: np.ndarray, fixed: int, index: int) -> None:
    if not shape.size or shape[0] != fixed:
        return
    # -1 infers the batch. Where -1 stands already, 0 copies it from the input.
    shape[0] = 0 if -1 in shape else -1
    name = f"{node.output[0]}/free_shape{index}"
    model.graph.initializer.append(numpy_helper.from_array(shape, name))
    node.input[1] = name
    if shape[0] == 0:
        kept = [a for a in node.attribute if a.name != "allowzero"]
        del node.attribute[:]
        node.attribute.extend(kept)


def _check_rows(model: ModelProto, image: ImageInput) -> None:
    """GraphError unless two images answered together are answered as each alone: the graph runs, and batches are free."""
    pair = np.random.default_rng(0).random((2, *image.shape), dtype=np.float32)
    data = graph_bytes(model)
    outputs = [o.name for o in model.graph.output if o.type.tensor_type.elem_type == TensorProto.FLOAT]
    alone = run(data, pair, outputs=outputs, batch_size=1)
    try:
        together = run(data, pair, outputs=outputs, batch_size=2)
    except GraphError as error:
        raise GraphError(f"the graph's batch size is fixed; export it with a dynamic batch dimension ({error})") from None
    for name in outputs:
        a, b = alone[name], together[name]
        scale = float(np.abs(a[np.isfinite(a)]).max(initial=1e-6))
        if a.shape != b.shape or not np.allclose(a, b, rtol=0, atol=_ROWS_AGREE * scale, equal_nan=True):
            raise GraphError(
                f"output {name!r} of an image changes with the other image in its batch; export the model in eval mode, "
                "with a dynamic batch dimension"
            )
