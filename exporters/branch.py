"""Branches: a second network in the victim's graph, on the victim's own input, whose features are one more tap."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto

from exporters.graph import Shape, infer_shapes, input_of, load_graph, opset_of
from exporters.lower import NodeWriter
from exporters.opset import to_opset
from exporters.rewrite import rename
from exporters.taps import Taps, find_taps
from guard.bundle import InputSpec
from guard.errors import GraphError
from guard.types import Floats

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Branch:
    """A network from (n, 3, side, side), red, green and blue by ImageNet's mean and deviation, to its tensor `output`."""

    model: ModelProto
    output: str


def read_branch(path: Path) -> Branch:
    """Return the network of an .onnx file: its last dense layer's input, or its answer where it has no dense layer.

    GraphError as `load_graph`, or if it takes no three channels first.
    """
    model = load_graph(path)
    image = input_of(model)
    if image.layout != "NCHW" or image.shape[0] != 3 or image.shape[1] != image.shape[2]:
        raise GraphError(f"{path.name} takes images of {image.shape}; a detector's network takes (3, side, side)")
    if len(model.graph.output) == 1 and not any(n.op_type in ("Gemm", "MatMul") for n in model.graph.node):
        return Branch(model, model.graph.output[0].name)
    taps = find_taps(model)
    return Branch(model, taps.penultimate or taps.answer)


def attach(victim: ModelProto, taps: Taps, branches: Mapping[str, Branch], spec: InputSpec) -> tuple[ModelProto, Taps]:
    """Return the victim with every branch beside it, and taps that name them; the victim itself is not changed.

    `spec` tells what the victim's input has become of grey levels. GraphError if a network does not fit the victim's opset, or
    the victim takes neither one nor three channels.
    """
    if not branches:
        return victim, taps
    model = ModelProto()
    model.CopyFrom(victim)
    tensors, shapes = {}, dict(taps.shapes)
    for index, (tap, branch) in enumerate(branches.items()):
        prefix = f"knockguard-network{index}"  # no name of `exporters.fuse` begins so
        tensors[tap], shapes[tensors[tap]] = _lay(model, branch, spec, prefix)
    return infer_shapes(model), replace(taps, networks=tensors, shapes=shapes)


def _lay(model: ModelProto, branch: Branch, spec: InputSpec, prefix: str) -> tuple[str, Shape]:
    """Append one branch; return its features' tensor and shape."""
    opset = opset_of(model)
    network = to_opset(branch.model, opset)
    image = input_of(network)
    write = NodeWriter(f"{prefix}/input", opset)
    shown = _shown(write, input_of(model).name, spec, side=image.shape[1])
    graph = network.graph
    made = {o for node in graph.node for o in node.output if o} | {i.name for i in graph.initializer}
    rename(graph_copy := _copied(network).graph, {name: f"{prefix}/{name}" for name in made} | {image.name: shown})
    model.graph.node.extend(write.nodes)
    model.graph.initializer.extend(write.initializers)
    model.graph.node.extend(_named(node, prefix) for node in graph_copy.node)
    model.graph.initializer.extend(graph_copy.initializer)
    known = {o.domain for o in model.opset_import}
    model.opset_import.extend(o for o in network.opset_import if o.domain and o.domain not in known)
    row = NodeWriter(f"{prefix}/output", opset)
    flat = row.node("Flatten", f"{prefix}/{branch.output}", axis=1)
    model.graph.node.extend(row.nodes)
    return flat, (None, None)


def _shown(write: NodeWriter, image: str, spec: InputSpec, *, side: int) -> str:
    """Write what turns the victim's input into the network's, and return the tensor."""
    if spec.layout == "NHWC":
        image = write.node("Transpose", image, perm=(0, 3, 1, 2))
    channels, height, width = spec.shape if spec.layout == "NCHW" else (spec.shape[2], *spec.shape[:2])
    if channels not in (1, 3):
        raise GraphError(f"the victim takes {channels} channels; a network beside it is shown grey or colour, 1 or 3")
    if channels == 1:
        image = write.node("Concat", image, image, image, axis=1)
    if (height, width) != (side, side):
        scales = write.constant(np.array([1, 1, _scale(height, side), _scale(width, side)], np.float32))
        image = write.node("Resize", image, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")
    # Input x was made as (level * scale - mean) / std; the network wants (level / 255 - its mean) / its deviation.
    std, mean = (np.broadcast_to(np.array(v, np.float64), 3) for v in (spec.std, spec.mean))
    unit = spec.scale * 255
    factor = std / (unit * np.array(IMAGENET_STD))
    offset = (mean / unit - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    image = write.node("Mul", image, write.constant(_by_channel(factor)))
    return write.node("Add", image, write.constant(_by_channel(offset)))


def _scale(size: int, side: int) -> float:
    """Return a float32 whose product with `size` rounds down to `side`: 48 * (224 / 48) is 223.99998."""
    scale = np.float32(side) / np.float32(size)
    while int(scale * np.float32(size)) < side:
        scale = np.nextafter(scale, np.float32(np.inf))
    return float(scale)


def _by_channel(values: np.ndarray) -> Floats:
    return values.astype(np.float32).reshape(1, 3, 1, 1)


def _copied(model: ModelProto) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(model)
    return copy


def _named(node: NodeProto, prefix: str) -> NodeProto:
    node.name = f"{prefix}/{node.name or node.output[0]}"
    return node
