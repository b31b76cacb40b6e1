"""Stages by depth: a transformer keeps one resolution, so what its blocks add up to is tapped at each quarter of the way."""

from collections.abc import Mapping, Sequence

from onnx import NodeProto

from exporters.graph import Shape

_N_STAGES = 4


def token_stages(nodes: Sequence[NodeProto], shapes: Mapping[str, Shape]) -> list[str]:
    """Return up to four tensors (n, tokens, d), shallow to deep, of `nodes`, which every path goes through.

    Only sums of two tensors that both hang on the image count: the residual sums at the end of a block's halves. A position's
    embedding, added to every image alike, is none.
    """
    sums = [
        node.output[0]
        for node in nodes
        if node.op_type == "Add"
        and _is_tokens(shapes.get(node.output[0], ()))
        and sum(name in shapes for name in node.input) == 2
    ]
    # Rounded up, so that the last is always the deepest.
    places = sorted({-(-len(sums) * quarter // _N_STAGES) - 1 for quarter in range(1, _N_STAGES + 1)}) if sums else []
    return [sums[place] for place in places]


def _is_tokens(shape: Shape) -> bool:
    return len(shape) == 3 and bool(shape[1]) and bool(shape[2])
