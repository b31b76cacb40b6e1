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
from exporters.rewrite import reads
from exporters.runtime import run
from guard.errors import GraphError
from guard.types import Floats

# What may stand behind the answer without changing which of the two it is.
_PASSES = frozenset(
    {"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Clip", "Dropout", "QuantizeLinear", "DequantizeLinear"}
)
# What a network has learned stands before these; a Softmax further back is attention or a gate inside it.
LEARNED = frozenset(
    {"Conv", "ConvTranspose", "MatMul", "Gemm", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "Einsum"}
)
_SQUASHES = frozenset({"Softmax", "LogSoftmax", "Sigmoid", "HardSigmoid"})
_SUMS_TO_ONE = 0.02  # half precision and clipping cost that much
_LOUD = 255.0  # as grey levels are: logits of a network that takes 0 to 1 leave any bounds


@dataclass(frozen=True, slots=True)
class Answer:
    """Tensors of the victim's graph: `logits` and `probabilities`, either of them None where the graph has none.

    `output` is what the victim says itself: its probabilities where it has them, else its logits, possibly as log-probabilities.
    `passed_over` is the output that the file declares as its answer, where the caller named another tensor.
    """

    logits: str | None
    probabilities: str | None
    output: str
    passed_over: str | None = None


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
    if logits is not None or probabilities is not None:
        return _named(graph, logits, probabilities)
    end, called = _end(graph)
    if (softmax := _softmax(end, graph)) is not None:
        return Answer(softmax.input[0], end, end)
    if called == "probabilities":
        _check_distribution(graph.model, end)
        return Answer(None, end, end)
    if (softmax := _softmax_of_logarithm(end, graph)) is not None:
        return Answer(softmax.input[0], None, end)  # its softmax is the same, and its energy says something
    _check_no_distribution(graph, end)
    return Answer(end, None, end)


def _named(graph: Graph, logits: str | None, probabilities: str | None) -> Answer:
    """Return the answer where the caller named a tensor of it; what the file itself declares stays in sight."""
    try:
        declared, _ = _end(graph)
    except GraphError:  # why a caller has to name one
        declared = None
    if probabilities is None and declared is not None and _softmax(declared, graph) is not None:
        # Whatever heads are to read as logits, the answer stays the file's own distribution, if it is one over as many classes.
        probabilities = declared if _width(declared, graph) == _width(logits or "", graph) else None
    if logits is None and probabilities is not None:
        softmax = _softmax(probabilities, graph)
        logits = None if softmax is None else softmax.input[0]
        if softmax is None:
            _check_distribution(graph.model, probabilities)
    output = probabilities or logits or ""  # one of the two was given
    return Answer(logits, probabilities, output, None if declared == output else declared)


def _width(tensor: str, graph: Graph) -> int:
    return prod(d or 0 for d in graph.shapes.get(tensor, ())[1:])


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


def _softmax(tensor: str, graph: Graph) -> NodeProto | None:
    """Return the Softmax over classes that makes a tensor, if one does."""
    node = _behind(tensor, graph.producers)
    return node if node is not None and node.op_type == "Softmax" and _over_classes(node, graph.shapes) else None


def _softmax_of_logarithm(tensor: str, graph: Graph) -> NodeProto | None:
    """Return the softmax of which a tensor is the logarithm: LogSoftmax, or a Softmax before Log."""
    node = _behind(tensor, graph.producers)
    if node is not None and node.op_type == "Log":
        return _softmax(node.input[0], graph)
    return node if node is not None and node.op_type == "LogSoftmax" and _over_classes(node, graph.shapes) else None


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
    """GraphError if what is to be the logits is computed out of a Softmax or Sigmoid, or looks like probabilities."""
    node = _squashed(end, graph.producers)
    if node is not None and node.op_type.endswith("Sigmoid"):
        raise GraphError(
            f"the answer {end!r} is made by {node.op_type}: a yes or no for each class, and no distribution over classes. To "
            f"have softmax taken of what stands before it, name that: --stage logits={node.input[0]}, or of the answer as it "
            f"is: --stage logits={end}"
        )
    if node is not None:
        last = _behind(end, graph.producers)
        how = "over another axis than the classes" if last is node or last is None else f"and then altered by {last.op_type}"
        named = f"logits={node.input[0]}" if node.op_type == "LogSoftmax" else f"probabilities={node.output[0]}"
        raise GraphError(
            f"the answer {end!r} is a {node.op_type} {how}, and softmax would be taken a second time; name the tensor that holds "
            f"the answer of all classes: --stage {named}, or --stage logits={end} to have softmax taken of it as it is"
        )
    quiet, loud = (answers_to_noise(graph.model, end, loudness=loudness) for loudness in (1.0, _LOUD))
    if _is_distribution(quiet):
        raise GraphError(
            f"the answer {end!r} would be taken for logits, and its rows are at least 0 and sum to 1, as probabilities are; say "
            f"which it is: --stage probabilities={end}, or --stage logits={end} to have softmax taken of it"
        )
    if all(((found >= 0) & (found <= 1) | ~np.isfinite(found)).all() for found in (quiet, loud)):
        raise GraphError(
            f"the answer {end!r} would be taken for logits, and all of its values lie between 0 and 1 whatever the image, as "
            "those of a sigmoid or of altered probabilities do; name the tensor before that: --stage logits=TENSOR, or --stage "
            f"logits={end} to have softmax taken of it as it is"
        )


def _squashed(end: str, producers: Mapping[str, NodeProto]) -> NodeProto | None:
    """Return the nearest Softmax or Sigmoid that the answer is computed from with nothing learned in between, if there is one."""
    seen, front = {end}, [end]
    while front:
        nodes = [node for tensor in front if (node := producers.get(tensor)) is not None]
        if found := next((node for node in nodes if node.op_type in _SQUASHES), None):
            return found
        passed = [node for node in nodes if node.op_type not in LEARNED and node.op_type not in ("Shape", "Size")]
        front = sorted({name for node in passed for name in reads(node)} - seen)
        seen.update(front)
    return None


def answers_to_noise(model: ModelProto, tensor: str, *, loudness: float = 1.0) -> Floats:
    """Return what a tensor of the graph is, (3, ...) float32, for three images of noise in [0, loudness), each answered alone."""
    shown = ModelProto()
    shown.CopyFrom(model)
    if tensor not in {o.name for o in shown.graph.output}:
        shown.graph.output.append(ValueInfoProto(name=tensor))  # ONNX Runtime knows the type
    noise = np.random.default_rng(0).random((3, *input_of(model).shape), dtype=np.float32)
    return run(graph_bytes(shown), noise * np.float32(loudness), outputs=[tensor], batch_size=1)[tensor].astype(np.float32)


def _is_distribution(answers: Floats) -> bool:
    rows = answers.reshape(len(answers), -1)
    # A single class is 1 whatever it was made by, and is refused for its width.
    return bool((rows >= 0).all() and np.abs(rows.sum(axis=1) - 1).max() <= _SUMS_TO_ONE)
