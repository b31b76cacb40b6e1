"""Stages: the tensors that a network passes through whole, one at the end of each resolution."""

from collections.abc import Mapping

from onnx import ModelProto, NodeProto

from exporters.graph import input_of
from exporters.rewrite import reads
from exporters.tokens import token_stages

# These move values or change their type; what they give is no new activation.
_MOVES = frozenset(
    {"Pad", "Slice", "Split", "Transpose", "Reshape", "Flatten", "Identity", "Cast", "Dropout", "Expand", "Gather", "Resize"}
)
_LEARNS = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm", "QLinearConv", "ConvInteger"})
_TO_CHANNELS_LAST, _TO_CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def find_stages(model: ModelProto, shapes: Mapping[str, tuple[int | None, ...]], *, end: str) -> dict[str, str]:
    """Return stage1, stage2, ... -> tensor, shallow to deep: (n, c, h, w) by resolution, then (n, tokens, d) by depth.

    Empty if the graph keeps neither.

    Only tensors that every path from the image to `end` goes through count: after a residual sum, never inside a branch. Of
    those, the last one before the area falls to less than half is a stage. 1 x 1 is no stage (that is `penultimate`), and
    nothing before the first learned layer is one.
    """
    last = None
    channels_last = input_of(model).layout == "NHWC"
    stages: list[str] = []
    nodes = _bottlenecks(model, end)
    for node, learned in nodes:
        if node.op_type == "Transpose":
            order = next((tuple(a.ints) for a in node.attribute if a.name == "perm"), ())
            channels_last = order == _TO_CHANNELS_LAST or (channels_last and order != _TO_CHANNELS_FIRST)
        tensor = node.output[0]
        shape = shapes.get(tensor, ())
        if not learned or channels_last or node.op_type in _MOVES or len(shape) != 4:
            continue
        channels, height, width = shape[1:]
        if not channels or not height or not width or height * width == 1:
            continue
        if last is not None and 2 * height * width >= last:
            stages[-1] = tensor
        else:
            stages.append(tensor)
        last = height * width if last is None or 2 * height * width < last else last
    return {
        f"stage{i}": tensor for i, tensor in enumerate([*stages, *token_stages([node for node, _ in nodes], shapes)], start=1)
    }


def _bottlenecks(model: ModelProto, end: str) -> list[tuple[NodeProto, bool]]:
    """Return, in order, the nodes that every path from the image to `end` goes through, and whether a learned layer, in any
    branch, lies before what each gives.

    In a topological order such a node is one that no edge jumps over: everything made before it is used for the last time by it
    or earlier.
    """
    nodes = _on_the_way(model, end)
    last_use = {name: position for position, node in enumerate(nodes) for name in reads(node)}
    found, learned = [], False
    reach = last_use.get(input_of(model).name, 0)
    for position, node in enumerate(nodes):
        learned = learned or node.op_type in _LEARNS
        if reach <= position:
            found.append((node, learned))
        reach = max([reach, *(last_use[o] for o in node.output if o in last_use)])
    return found


def _on_the_way(model: ModelProto, end: str) -> list[NodeProto]:
    """Return the nodes between the image and `end`; computations on shapes are not among them."""
    carried = {input_of(model).name}
    forward = []
    for node in model.graph.node:
        if node.op_type not in ("Shape", "Size") and carried & reads(node):
            carried.update(node.output)
            forward.append(node)
    needed, between = {end}, []
    for node in reversed(forward):
        if needed.intersection(node.output):
            needed |= reads(node)
            between.append(node)
    return between[::-1]
