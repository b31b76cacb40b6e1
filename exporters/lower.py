"""Lowers heads: the only place that turns a `Head` into ONNX nodes, for whatever opset the victim's graph has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from exporters.selection import Selection, side_by_side
from guard.detectors.head import Head, Operation
from guard.errors import GraphError
from guard.registry import nearest
from guard.types import Array

# The first opset in which an operator takes its axes as an input; before it they are an attribute.
_AXES_AS_INPUT = {
    "Squeeze": 13,
    "Unsqueeze": 13,
    "ReduceSum": 13,
    "ReduceMean": 18,
    "ReduceMax": 18,
    "ReduceMin": 18,
    "ReduceSumSquare": 18,
    "ReduceLogSumExp": 18,
}


@dataclass(frozen=True, slots=True)
class Lowered:
    """A head as nodes and weights to append to a graph; `score` is its (n,) tensor."""

    nodes: list[NodeProto]
    initializers: list[TensorProto]
    score: str


def lower(head: Head, taps: Mapping[str, str | Selection], *, prefix: str, opset: int) -> Lowered:
    """Return a head's nodes, every name of theirs below `prefix`; `taps` says which tensor, or which columns, each tap is.

    GraphError if the head reads a tap that is not there.
    """
    writer = NodeWriter(prefix, opset)
    names: dict[str, str | Selection] = {}
    for tap in head.taps:
        if tap not in taps:
            raise GraphError(f"the head reads {tap!r}, which the graph does not have{nearest(tap, taps)}")
        names[f"tap:{tap}"] = taps[tap]
    for name, array in head.constants.items():
        names[name] = writer.constant(array, name)
    for operation in head.operations:
        inputs = [names[value] for value in operation.inputs]
        chosen = inputs[0]
        weights = head.constants.get(operation.inputs[1]) if operation.op == "MatMul" else None
        joined = side_by_side(inputs) if operation.op == "Concat" and dict(operation.attributes)["axis"] == 1 else None
        if joined is not None:
            names[operation.output] = joined
        elif isinstance(chosen, Selection) and weights is not None and weights.ndim == 2:
            names[operation.output] = writer.node("MatMul", chosen.tensor, writer.constant(chosen.weights(weights)))
        else:
            for value in operation.inputs:
                names[value] = writer.tensor(names[value])  # gathered once, however often it is read
            names[operation.output] = _operation(writer, operation, [writer.tensor(names[v]) for v in operation.inputs])
    return Lowered(writer.nodes, writer.initializers, writer.tensor(names[head.score]))


class NodeWriter:
    """Collects nodes and weights whose names all start with one prefix, so they meet no name of the victim's."""

    def __init__(self, prefix: str, opset: int) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._prefix = prefix
        self._opset = opset

    def constant(self, array: Array, name: str | None = None) -> str:
        """Store an array as a weight and return its name."""
        full = f"{self._prefix}/{name or f'weight{len(self.initializers)}'}"
        self.initializers.append(numpy_helper.from_array(array, full))
        return full

    def tensor(self, chosen: str | Selection) -> str:
        """Return a tensor as it is, and a selection as a tensor of its own."""
        if isinstance(chosen, str):
            return chosen
        return chosen.tensor if chosen.is_whole else self.node("Gather", chosen.tensor, self.constant(chosen.index), axis=1)

    def split(self, tensor: str, widths: Sequence[int]) -> list[str]:
        """Append a Split of a (n, sum of widths) tensor and return the names of its parts, (n, width) each."""
        full = f"{self._prefix}/Split{len(self.nodes)}"
        parts = [f"{full}/{i}" for i in range(len(widths))]
        given = [tensor, self.constant(np.array(widths, np.int64))]
        self.nodes.append(helper.make_node("Split", given, parts, name=full, axis=1))
        return parts

    def node(self, op: str, *inputs: str, axes: tuple[int, ...] | None = None, **attributes: Any) -> str:
        """Append a node and return the name of its first output."""
        full = f"{self._prefix}/{op}{len(self.nodes)}"
        given = list(inputs)
        if axes is not None and self._opset >= _AXES_AS_INPUT[op]:
            given.append(self.constant(np.array(axes, np.int64)))
        # Both outputs of TopK must be named, though only the values are read.
        outputs = [full, f"{full}/indices"] if op == "TopK" else [full]
        node = helper.make_node(op, given, outputs, name=full, **attributes)
        if axes is not None and self._opset < _AXES_AS_INPUT[op]:
            node.attribute.append(helper.make_attribute("axes", list(axes)))
        self.nodes.append(node)
        return full


def _operation(writer: NodeWriter, operation: Operation, inputs: list[str]) -> str:
    attributes = dict(operation.attributes)
    if operation.op in ("KthSmallest", "TopKValues"):
        k = int(attributes["k"])
        count = writer.constant(np.array([k], np.int64))
        largest = int(operation.op == "TopKValues")
        values = writer.node("TopK", inputs[0], count, axis=1, largest=largest, sorted=1)
        # A scalar index drops the axis: (n, k) -> (n,).
        return values if largest else writer.node("Gather", values, writer.constant(np.array(k - 1, np.int64)), axis=1)
    return writer.node(operation.op, *inputs, axes=operation.axes, **attributes)
