"""Taps: where in a victim's graph the heads read. Found from the graph alone, whoever exported it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from onnx import ModelProto, NodeProto, TensorProto

from exporters.graph import infer_shapes, opset_of, tensor_shape
from exporters.stages import find_stages
from guard.errors import GraphError
from guard.registry import nearest

STAGE = re.compile(r"stage[1-9][0-9]*")
_ANSWERS = ("logits", "probabilities")
# What may stand between the last dense layer and the answer without making new features.
_PASSES = frozenset({"Add", "Sub", "Mul", "Div", "Identity", "Cast", "Flatten", "Reshape", "Squeeze", "Dropout"})

Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Taps:
    """Tensor names of a victim's graph. At least one of `logits` and `probabilities`, both (n, n_classes), is there.

    `penultimate` is (n, d), the last dense layer's input. `stages` maps stage1, stage2, ... to (n, c, h, w) tensors, shallow to
    deep. `shapes` holds each tensor's shape, None where it is free.
    """

    logits: str | None
    probabilities: str | None
    penultimate: str | None
    stages: Mapping[str, str]
    shapes: Mapping[str, Shape]

    @property
    def n_classes(self) -> int:
        """How many classes the victim knows."""
        return int(self.shapes[self.probabilities or self.logits or ""][1] or 0)

    def describe(self) -> list[str]:
        """Return a line for each tap: its name, its shape, its tensor."""
        named = {"logits": self.logits, "probabilities": self.probabilities, "penultimate": self.penultimate, **self.stages}
        rows = []
        for name, tensor in named.items():
            size = "not in this graph" if tensor is None else " x ".join(str(d) for d in self.shapes[tensor][1:])
            rows.append(f"{name:<14}{size:<18}{tensor or ''}".rstrip())
        return rows


def find_taps(model: ModelProto, *, override: Mapping[str, str] | None = None) -> Taps:
    """Return the taps of a graph; `override` maps logits, probabilities, penultimate or stage<i> to tensors of it.

    A graph that ends in Softmax gives both answers; an end that is not is taken for logits unless overridden as probabilities.
    Stages named by `override` replace all that would be found. GraphError if a name is unknown, a tensor does not fit its tap, or
    no output can be the answer.
    """
    opset_of(model)
    model = infer_shapes(model)
    shapes = _shapes(model)
    given = dict(override or {})
    _check_names(given, shapes)
    producers = {output: node for node in model.graph.node for output in node.output}
    logits, probabilities = _answer(model, given, producers, shapes)
    end = logits or probabilities or ""

    penultimate = given.get("penultimate") or _dense_input(end, producers, shapes)
    declared = {o.name: o.name for o in model.graph.output if STAGE.fullmatch(o.name) and len(shapes.get(o.name, ())) == 4}
    stages = {k: v for k, v in given.items() if STAGE.fullmatch(k)} or declared or find_stages(model, shapes, end=end)
    stages = dict(sorted(stages.items(), key=lambda item: int(item[0].removeprefix("stage"))))

    for name, tensor in stages.items():
        _check_stage(name, tensor, shapes)
    if penultimate is not None:
        _check_rank_two("penultimate", penultimate, shapes)
    taps = Taps(logits, probabilities, penultimate, stages, {})
    used = [t for t in (logits, probabilities, penultimate, *stages.values()) if t is not None]
    return Taps(taps.logits, taps.probabilities, taps.penultimate, taps.stages, {t: shapes[t] for t in used})


def _shapes(model: ModelProto) -> dict[str, Shape]:
    """Return the shape of every float tensor that the graph computes, where its rank is known."""
    found: dict[str, Shape] = {}
    weights = {i.name: tuple(i.dims) for i in model.graph.initializer}
    for info in (*model.graph.value_info, *model.graph.output):
        shape = tensor_shape(info)
        if shape is not None and info.name not in weights and info.type.tensor_type.elem_type == TensorProto.FLOAT:
            found[info.name] = shape
    # A Reshape to a computed shape hides the width of what it gives; the weight of the Gemm behind it tells.
    for node in model.graph.node:
        if node.op_type == "Gemm" and node.input[1] in weights and not all(found.get(node.input[0], (None, None))[1:]):
            transposed = next((a.i for a in node.attribute if a.name == "transB"), 0)
            found[node.input[0]] = (None, weights[node.input[1]][1 if transposed else 0])
    return found


def _check_names(given: Mapping[str, str], shapes: Mapping[str, Shape]) -> None:
    for name, tensor in given.items():
        if name not in (*_ANSWERS, "penultimate") and not STAGE.fullmatch(name):
            raise GraphError(f"no tap is called {name!r}{nearest(name, (*_ANSWERS, 'penultimate', 'stage1', 'stage2'))}")
        if tensor not in shapes:
            raise GraphError(f"{name}: the graph computes no float32 tensor {tensor!r}{_nearest_tensor(tensor, shapes)}")


def _answer(
    model: ModelProto, given: Mapping[str, str], producers: Mapping[str, NodeProto], shapes: Mapping[str, Shape]
) -> tuple[str | None, str | None]:
    """Return (logits, probabilities)."""
    logits, probabilities = given.get("logits"), given.get("probabilities")
    if logits is None and probabilities is None:
        probabilities, logits = _ends(model, producers, shapes)
    if probabilities is not None and logits is None:
        node = _behind(probabilities, producers)
        logits = node.input[0] if _is_softmax(node, "Softmax") and node is not None else None
    for name, tensor in (("logits", logits), ("probabilities", probabilities)):
        if tensor is not None:
            _check_rank_two(name, tensor, shapes)
    return logits, probabilities


def _ends(model: ModelProto, producers: Mapping[str, NodeProto], shapes: Mapping[str, Shape]) -> tuple[str | None, str | None]:
    """Return (probabilities, logits), one of them None, from the graph's own outputs."""
    outputs = [o.name for o in model.graph.output]
    if "scores" in outputs:
        raise GraphError("the graph has an output 'scores': it is protected already; give the victim's own model")
    candidates = [o for o in outputs if len(shapes.get(o, ())) == 2]
    named = [o for o in ("probabilities", "logits") if o in candidates]
    features = [o for o in candidates if o == "penultimate"]
    rest = [o for o in candidates if o not in features]
    if not named and len(rest) != 1:
        found = ", ".join(repr(o) for o in outputs)
        raise GraphError(
            f"the answer is not clear among the outputs {found}; say which is 'logits' or 'probabilities', (n, classes)"
        )
    end = named[0] if named else rest[0]
    node = _behind(end, producers)
    if _is_softmax(node, "Softmax") or end == "probabilities":
        return end, None
    if node is not None and _is_softmax(node, "LogSoftmax"):
        return None, node.input[0]  # its softmax is the same, and its energy says something
    return None, end


def _behind(tensor: str, producers: Mapping[str, NodeProto]) -> NodeProto | None:
    """Return the node that makes a tensor, past those that only pass it on."""
    node = producers.get(tensor)
    while node is not None and node.op_type == "Identity":
        node = producers.get(node.input[0])
    return node


def _is_softmax(node: NodeProto | None, op: str) -> bool:
    return node is not None and node.op_type == op and next((a.i for a in node.attribute if a.name == "axis"), -1) in (-1, 1)


def _dense_input(end: str, producers: Mapping[str, NodeProto], shapes: Mapping[str, Shape]) -> str | None:
    """Return the input of the last Gemm or MatMul, or None where the answer is not made by one, as in SqueezeNet."""
    node = producers.get(end)
    while node is not None:
        computed = [name for name in node.input if name in shapes]
        if node.op_type in ("Gemm", "MatMul"):
            return computed[0] if len(computed) == 1 and len(shapes[computed[0]]) == 2 else None
        if node.op_type not in _PASSES and node.op_type != "Softmax":
            return None
        node = producers.get(computed[0]) if len(computed) == 1 else None
    return None


def _check_rank_two(name: str, tensor: str, shapes: Mapping[str, Shape]) -> None:
    shape = shapes.get(tensor)
    if shape is None or len(shape) != 2 or not shape[1]:
        raise GraphError(f"{name}: tensor {tensor!r} has shape {shape}; it must be (n, d) with d known, so name another")


def _check_stage(name: str, tensor: str, shapes: Mapping[str, Shape]) -> None:
    shape = shapes[tensor]
    if len(shape) != 4 or None in shape[1:]:
        raise GraphError(f"{name}: tensor {tensor!r} has shape {shape}; it must be (n, c, h, w) with c, h and w known")


def _nearest_tensor(tensor: str, shapes: Mapping[str, Shape]) -> str:
    """The nearest name, from among those that could be taps; all names of a graph would fill a screen."""
    hint = nearest(tensor, shapes)
    return hint if hint.startswith("; did you mean") else f"; it computes {len(shapes)}, look for one in a viewer such as Netron"
