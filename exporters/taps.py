"""Taps: where in a victim's graph the heads read. Found from the graph alone, whoever exported it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from onnx import ModelProto, NodeProto, TensorProto

from exporters.answers import Graph, find_answer
from exporters.graph import Shape, from_image, infer_shapes, opset_of, tensor_shape
from exporters.stages import find_stages
from guard.errors import GraphError
from guard.registry import nearest

STAGE = re.compile(r"stage[1-9][0-9]*")
_ANSWERS = ("logits", "probabilities")
# What may stand between the last dense layer and the answer without making new features.
_PASSES = frozenset({"Add", "Sub", "Mul", "Div", "Identity", "Cast", "Flatten", "Reshape", "Squeeze", "Dropout"})
_QUANTISES = frozenset({"QuantizeLinear", "DequantizeLinear"})  # a float tensor's value is their first input, in steps

_SHOWN = 12  # names in a message

_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE})


@dataclass(frozen=True, slots=True)
class Taps:
    """Tensor names of a victim's graph. At least one of `logits` and `probabilities`, both (n, n_classes), is there.

    `penultimate` is (n, d), the last dense layer's input. `stages` maps stage1, stage2, ... to (n, c, h, w) tensors, or a
    transformer's (n, tokens, d), shallow to deep. `shapes` holds each tensor's shape, None where it is free; `casts` those
    tensors that are not float32. `answer` is what the victim says itself and is held to: its probabilities where it has them,
    else its logits (up to a constant a row). `passed_over` is the output that the file declares as its answer, where the caller
    named another tensor. `networks` are what `exporters.branch` laid beside the victim, tap -> (n, d) tensor.
    """

    logits: str | None
    probabilities: str | None
    penultimate: str | None
    stages: Mapping[str, str]
    shapes: Mapping[str, Shape]
    answer: str
    casts: frozenset[str] = frozenset()
    networks: Mapping[str, str] = field(default_factory=dict)
    passed_over: str | None = None

    @property
    def n_classes(self) -> int:
        """How many classes the victim knows."""
        return prod(d or 0 for d in self.shapes[self.probabilities or self.logits or ""][1:])

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

    A graph that ends in Softmax gives both answers; any other end is taken for logits unless overridden as probabilities.
    Stages named by `override` replace all that would be found. GraphError if a name is unknown, a tensor does not fit its tap, or
    no output can be the answer.
    """
    opset_of(model)
    model = infer_shapes(model)
    shapes, casts = _shapes(model)
    given = dict(override or {})
    _check_names(given, shapes)
    producers = {output: node for node in model.graph.node for output in node.output}
    answer = find_answer(Graph(model, producers, shapes), logits=given.get("logits"), probabilities=given.get("probabilities"))
    for name, tensor in (("logits", answer.logits), ("probabilities", answer.probabilities)):
        if tensor is not None:
            _check_answer(name, tensor, shapes)
    end = answer.logits or answer.probabilities or ""

    penultimate = given.get("penultimate") or _dense_input(end, producers, shapes)
    declared = {o.name: o.name for o in model.graph.output if STAGE.fullmatch(o.name) and len(shapes.get(o.name, ())) == 4}
    stages = {k: v for k, v in given.items() if STAGE.fullmatch(k)} or declared or find_stages(model, shapes, end=end)
    stages = dict(sorted(stages.items(), key=lambda item: int(item[0].removeprefix("stage"))))

    for name, tensor in stages.items():
        _check_stage(name, tensor, shapes)
    if penultimate is not None:
        _check_rank_two("penultimate", penultimate, shapes)
    used = {t for t in (answer.logits, answer.probabilities, penultimate, *stages.values()) if t is not None}
    return Taps(
        answer.logits,
        answer.probabilities,
        penultimate,
        stages,
        {t: shapes[t] for t in sorted(used)},
        answer.output,
        casts & used,
        passed_over=answer.passed_over,
    )


def _shapes(model: ModelProto) -> tuple[dict[str, Shape], frozenset[str]]:
    """Return the shape of every float tensor made of the image, where its rank is known, and which of them are not float32."""
    found: dict[str, Shape] = {}
    casts = set()
    weights = {i.name: tuple(i.dims) for i in model.graph.initializer}
    carried = from_image(model)
    for info in (*model.graph.value_info, *model.graph.output):
        shape, kind = tensor_shape(info), info.type.tensor_type.elem_type
        if shape is not None and info.name in carried and kind in _FLOATS:
            found[info.name] = shape
            if kind != TensorProto.FLOAT:
                casts.add(info.name)
    # A Reshape to a computed shape hides the width of what it gives; the weight of the Gemm behind it tells.
    for node in model.graph.node:
        if node.op_type == "Gemm" and node.input[1] in weights and not all(found.get(node.input[0], (None, None))[1:]):
            transposed = next((a.i for a in node.attribute if a.name == "transB"), 0)
            found[node.input[0]] = (None, weights[node.input[1]][1 if transposed else 0])
    return found, frozenset(casts)


def _check_names(given: Mapping[str, str], shapes: Mapping[str, Shape]) -> None:
    for name, tensor in given.items():
        if name not in (*_ANSWERS, "penultimate") and not STAGE.fullmatch(name):
            raise GraphError(f"no tap is called {name!r}{nearest(name, (*_ANSWERS, 'penultimate', 'stage1', 'stage2'))}")
        if tensor not in shapes:
            raise GraphError(f"{name}: the graph computes no float tensor {tensor!r}{_nearest_tensor(name, tensor, shapes)}")


def _dense_input(end: str, producers: Mapping[str, NodeProto], shapes: Mapping[str, Shape]) -> str | None:
    """Return the input of the last Gemm or MatMul, or None where the answer is not made by one, as in SqueezeNet."""
    node = producers.get(end)
    while node is not None:
        computed = [node.input[0]] if node.op_type in _QUANTISES else [name for name in node.input if name in shapes]
        if node.op_type in ("Gemm", "MatMul"):
            return computed[0] if len(computed) == 1 and len(shapes[computed[0]]) == 2 else None
        if node.op_type not in _PASSES | _QUANTISES and node.op_type != "Softmax":
            return None
        node = producers.get(computed[0]) if len(computed) == 1 else None
    return None


def _check_answer(name: str, tensor: str, shapes: Mapping[str, Shape]) -> None:
    row = shapes[tensor][1:]
    if None in row or prod(d or 0 for d in row) != max((d or 0 for d in row), default=0) or len(shapes[tensor]) < 2:
        raise GraphError(f"{name}: tensor {tensor!r} has shape {shapes[tensor]}; it must be (n, classes), so name another")
    if prod(d or 0 for d in row) < 2:
        raise GraphError(f"{name}: tensor {tensor!r} has {prod(d or 0 for d in row)} classes; a classifier has at least 2")


def _check_rank_two(name: str, tensor: str, shapes: Mapping[str, Shape]) -> None:
    shape = shapes.get(tensor)
    if shape is None or len(shape) != 2 or not shape[1]:
        raise GraphError(f"{name}: tensor {tensor!r} has shape {shape}; it must be (n, d) with d known, so name another")


def _check_stage(name: str, tensor: str, shapes: Mapping[str, Shape]) -> None:
    shape = shapes[tensor]
    if len(shape) not in (3, 4) or None in shape[1:]:
        raise GraphError(
            f"{name}: tensor {tensor!r} has shape {shape}; it must be (n, c, h, w), or (n, tokens, d), with all but n known"
        )


def _nearest_tensor(name: str, tensor: str, shapes: Mapping[str, Shape]) -> str:
    """Return the nearest name, or those that could be this tap: of many a dozen, from all over the graph."""
    hint = nearest(tensor, shapes)
    if hint.startswith("; did you mean"):
        return hint
    ranks = (3, 4) if STAGE.fullmatch(name) else (2,)
    fitting = [t for t, shape in shapes.items() if len(shape) in ranks]
    shown = fitting if len(fitting) <= _SHOWN else [fitting[i * (len(fitting) - 1) // (_SHOWN - 1)] for i in range(_SHOWN)]
    of = f"{len(fitting)}, such as " if len(shown) < len(fitting) else ""
    return f"; it could be one of {of}{', '.join(map(repr, shown)) or 'none'}"
