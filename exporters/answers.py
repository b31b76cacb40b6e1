"""The answer: which tensors of a graph are the victim's logits and its probabilities, and whether their values bear that out.

Softmax taken twice still looks like an answer, keeps the top label and flattens the rest, so nothing here is guessed: an end
that is neither plainly one nor the other is refused, and the caller says which it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from onnx import ModelProto, NodeProto, ValueInfoProto

from exporters.graph import Shape, graph_bytes, input_of
from exporters.runtime import run
from guard.errors import GraphError
from guard.types import Floats

# What may stand behind the answer without changing which of the two it is.
_PASSES = frozenset(
    {"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Clip", "Dropout", "QuantizeLinear", "DequantizeLinear"}
)
_ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Neg"})
_SUMS_TO_ONE = 0.02  # half precision and clipping cost that much


@dataclass(frozen=True, slots=True)
class Answer:
    """Tensors of the victim's graph: `logits` and `probabilities`, either of them None where the graph has none.

    `output` is what the victim says itself: its probabilities where it has them, else its logits, possibly as log-probabilities.
    """

    logits: str | None
    probabilities: str | None
    output: str


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph as it is searched: tensor -> the node that makes it, and tensor -> shape of each float tensor."""

    model: ModelProto
    producers: Mapping[str, NodeProto]
    shapes: Mapping[str, Shape]


def find_answer(graph: Graph, *, logits: str | None, probabilities: str | None) -> Answer:
    """Return the answer of a graph; tensors that the caller names are taken for what they are called.

    GraphError if no output is clearly the answer, or if it is neither logits nor probabilities.
    """
    if logits is not None:
        return Answer(logits, probabilities, probabilities or logits)
    end, called = (probabilities, "probabilities") if probabilities is not None else _end(graph)
    node = _behind(end, graph.producers)
    if node is not None and node.op_type in ("Softmax", "LogSoftmax") and _over_classes(node, graph.shapes):
        if node.op_type == "Softmax":
            return Answer(node.input[0], end, end)
        if called != "probabilities":
            return Answer(node.input[0], None, end)  # its softmax is the same, and its energy says something
    if called == "probabilities":
        _check_distribution(graph.model, end)
        return Answer(None, end, end)
    _check_no_distribution(graph, end)
    return Answer(end, None, end)


def _end(graph: Graph) -> tuple[str, str]:
    """Return the output that is the answer, and what it is called: "probabilities", "logits", or "" for anything else."""
    outputs = [o.name for o in graph.model.graph.output]
    if "scores" in outputs:
        raise GraphError("the graph has an output 'scores': it is protected already; give the victim's own model")
    candidates = [o for o in outputs if len(graph.shapes.get(o, ())) == 2]
    named = [o for o in ("probabilities", "logits") if o in candidates]
    rest = [o for o in candidates if o != "penultimate"]
    if not named and len(rest) != 1:
        found = ", ".join(repr(o) for o in outputs)
        raise GraphError(
            f"the answer is not clear among the outputs {found}; say which is 'logits' or 'probabilities', (n, classes)"
        )
    return (named[0], named[0]) if named else (rest[0], "")


def _behind(tensor: str, producers: Mapping[str, NodeProto]) -> NodeProto | None:
    """Return the node that makes a tensor, past those that only pass it on."""
    node = producers.get(tensor)
    while node is not None and node.op_type in _PASSES:
        node = producers.get(node.input[0])
    return node


def _over_classes(node: NodeProto, shapes: Mapping[str, Shape]) -> bool:
    """Whether a Softmax's axis holds all that a row has: (n, k), or (n, k, 1, 1) as a convolution at the end leaves it."""
    shape = shapes.get(node.input[0], ())
    axis = next((a.i for a in node.attribute if a.name == "axis"), -1)
    row = [d or 0 for d in shape[1:]]
    return len(shape) >= 2 and axis % len(shape) != 0 and shape[axis] == prod(row)


def _check_distribution(model: ModelProto, end: str) -> None:
    answers = answers_to_noise(model, end)
    if not _is_distribution(answers):
        sums = answers.reshape(len(answers), -1).sum(axis=1)
        raise GraphError(
            f"{end!r} is taken for probabilities, and its rows sum to {sums.min():.3g} to {sums.max():.3g} with a "
            f"smallest value of {answers.min():.3g}; they must be at least 0 and sum to 1. If they are logits, name them so: "
            f"--stage logits={end}"
        )


def _check_no_distribution(graph: Graph, end: str) -> None:
    """GraphError if what is to be the logits is made by Sigmoid, out of a Softmax, or looks like probabilities."""
    tensor, arithmetic = end, ""
    while (node := _behind(tensor, graph.producers)) is not None:
        if node.op_type in ("Sigmoid", "HardSigmoid"):
            raise GraphError(
                f"the answer {end!r} is made by {node.op_type}: a yes or no for each class, and no distribution over classes. To "
                f"have softmax taken of what stands before it, name that: --stage logits={node.input[0]}"
            )
        if node.op_type == "Softmax":
            raise GraphError(
                f"the answer {end!r} is made by {arithmetic or 'moving'} out of a Softmax over another axis or scale; name the "
                f"tensor that holds the probabilities: --stage probabilities={node.output[0]}"
            )
        computed = [name for name in node.input if name in graph.shapes]
        if node.op_type not in _ARITHMETIC or len(computed) != 1:
            break
        tensor, arithmetic = computed[0], arithmetic or node.op_type
    if _is_distribution(answers_to_noise(graph.model, end)):
        raise GraphError(
            f"the answer {end!r} would be taken for logits, and its rows are at least 0 and sum to 1, as probabilities are; say "
            f"which it is: --stage probabilities={end}, or --stage logits={end} to have softmax taken of it"
        )


def answers_to_noise(model: ModelProto, tensor: str) -> Floats:
    """Return what a tensor of the graph is, (3, ...) float32, for three images of noise, each answered alone."""
    shown = ModelProto()
    shown.CopyFrom(model)
    if tensor not in {o.name for o in shown.graph.output}:
        shown.graph.output.append(ValueInfoProto(name=tensor))  # ONNX Runtime knows the type
    noise = np.random.default_rng(0).random((3, *input_of(model).shape), dtype=np.float32)
    return run(graph_bytes(shown), noise, outputs=[tensor], batch_size=1)[tensor].astype(np.float32)


def _is_distribution(answers: Floats) -> bool:
    rows = answers.reshape(len(answers), -1)
    # A single class is 1 whatever it was made by, and is refused for its width.
    return bool((rows >= 0).all() and np.abs(rows.sum(axis=1) - 1).max() <= _SUMS_TO_ONE)
