"""Does the fused graph answer as the victim's file does? The file is run as its author wrote it, not as we rewrote it."""

from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto

from exporters.answers import LEARNED
from exporters.flat import takes_rows, unflatten
from exporters.graph import from_image, graph_bytes, infer_shapes, input_of, read_graph, tensor_shape
from exporters.runtime import run
from exporters.taps import Taps
from guard.errors import GraphError, ParityError
from guard.types import Array, Floats

PARITY = 1e-5  # of a probability, float32
# Half precision rounds at 1e-3, quantised layers in steps of a 256th; ONNX Runtime fuses either otherwise once a tap is read.
PARITY_HALF, PARITY_QUANTISED = 2e-3, 2e-2
_HALF = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})
_BATCH_SIZE = 32


def check_parity(victim: Path, taps: Taps, fused: bytes, inputs: Array) -> float:
    """Return the largest difference between the file's probabilities (n, k), or the softmax of its logits, and the fused graph's.

    `inputs` are real images as the graph takes them. ParityError, with output and amount, beyond what the victim's precision
    explains; GraphError if the file cannot be run.
    """
    original = read_graph(victim)
    if takes_rows(original):
        unflatten(original, inputs.shape[1:])
    tolerance = tolerance_of(original)
    answers = _answers(original, taps.answer, inputs)
    expected = answers if taps.answer == taps.probabilities else _softmax(answers)
    found = run(fused, inputs, outputs=("probabilities",))["probabilities"]
    gap = float(np.abs(expected - found).max(initial=0.0))
    if not gap <= tolerance:  # so that NaN fails
        kind = "" if taps.answer == taps.probabilities else "the softmax of "
        raise ParityError(
            f"the fused graph's probabilities differ from {kind}output {taps.answer!r} of {victim.name} by {gap:.2e} on "
            f"{len(inputs)} images; at most {tolerance:.0e} is allowed. If that is not the victim's answer, name the tensor that "
            "is: --stage logits=TENSOR or --stage probabilities=TENSOR"
        )
    return gap


def distance_to_passed_over(victim: Path, taps: Taps, fused: bytes, inputs: Array) -> float | None:
    """Return the largest difference between the fused graph's probabilities and the output that the caller passed over.

    That output counts as it is or as its softmax, whichever is nearer. 0 where nothing was passed over or no more than rounding
    lies between; None where it has another number of classes.
    """
    if taps.passed_over is None:
        return 0.0
    original = read_graph(victim)
    theirs = _answers(original, taps.passed_over, inputs)
    found = run(fused, inputs, outputs=("probabilities",))["probabilities"]
    if theirs.shape != found.shape:
        return None
    gap = min(float(np.abs(answers - found).max(initial=0.0)) for answers in (theirs, _softmax(theirs)))
    return 0.0 if gap <= tolerance_of(original) else gap


def tolerance_of(model: ModelProto) -> float:
    """Return the largest difference of a probability that the victim's own precision explains."""
    if any("uantize" in n.op_type or "Integer" in n.op_type or n.op_type.startswith("QLinear") for n in model.graph.node):
        return PARITY_QUANTISED
    return PARITY_HALF if _computes_in_half(model) else PARITY


def _computes_in_half(model: ModelProto) -> bool:
    """Whether a learned layer gives half precision; weights that are only stored in it are the same in both graphs."""
    carried = from_image(model)
    layers = {node.output[0] for node in model.graph.node if node.op_type in LEARNED} & carried
    found = infer_shapes(model).graph
    return any(i.name in layers and i.type.tensor_type.elem_type in _HALF for i in (*found.value_info, *found.output))


def _answers(model: ModelProto, tensor: str, inputs: Array) -> Floats:
    """Return the file's answers (n, k) float32, in batches of the size that its exporter fixed, if one did."""
    if tensor not in {o.name for o in model.graph.output}:
        model.graph.output.append(ValueInfoProto(name=tensor))
    name = input_of(model).name
    shape = next(tensor_shape(i) for i in model.graph.input if i.name == name)
    batch = shape[0] if shape and shape[0] else 0
    missing = -len(inputs) % batch if batch else 0
    padded = np.concatenate([inputs, np.repeat(inputs[:1], missing, axis=0)])
    answers = run(graph_bytes(model), padded, outputs=[tensor], batch_size=batch or _BATCH_SIZE)[tensor]
    if len(answers) != len(padded):
        raise GraphError(f"{tensor!r} has {len(answers)} rows for {len(padded)} images; name an output with one row an image")
    return answers[: len(inputs)].reshape(len(inputs), -1).astype(np.float32)


def _softmax(logits: Floats) -> Floats:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)
