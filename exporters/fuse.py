"""Fuse: a victim, its pooled stages and all heads become one graph, so that one inference gives answer and scores."""

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from exporters.graph import infer_shapes, opset_of, tensor_shape
from exporters.lower import NodeWriter, lower
from exporters.rewrite import prune, rename, strip
from exporters.taps import STAGE, Taps
from guard.detectors.head import Head
from guard.errors import GraphError

PROBABILITIES, LOGITS, PENULTIMATE, SCORES = "probabilities", "logits", "penultimate", "scores"
RENAMED = "victim/"  # before the names of the victim's tensors that are called as our outputs are
_PREFIX = "knockguard"
_GRID = 28  # positions a side that a deviation is taken from, at least
_FLOOR = 1e-6  # of a variance; rounding can make that of a flat channel negative


def feature_graph(model: ModelProto, taps: Taps) -> ModelProto:
    """Return the victim with what heads read as outputs: `probabilities`, `logits` and `penultimate` where the graph has them,
    each stage pooled to (n, 2c) and each network beside it under its name. All float32.
    """
    graph = _Fused(model, taps)
    return graph.close(graph.features)


def fuse(model: ModelProto, taps: Taps, heads: Mapping[str, Head]) -> ModelProto:
    """Return the victim with all heads: outputs are `probabilities` (n, k) and `scores` (n, m), both float32, and nothing else.

    Columns of `scores` are in the order of `heads`. GraphError if there is no head, one reads a tap that the graph does not
    have, or its score is not (n,).
    """
    if not heads:
        raise GraphError("no head to fuse; give at least one, such as energy")
    graph = _Fused(model, taps)
    return graph.close({PROBABILITIES: graph.features[PROBABILITIES], SCORES: graph.scores(heads)})


class _Fused:
    """A copy of the victim that grows: pooled taps at once, then heads, then `close`."""

    def __init__(self, model: ModelProto, taps: Taps) -> None:
        self._model = ModelProto()
        self._model.CopyFrom(model)
        self._n_classes = taps.n_classes
        self._write = NodeWriter(f"{_PREFIX}/taps", opset_of(model))
        taken = _victims_names(self._model)
        rename(self._model.graph, taken)
        self.features = self._pooled(taps, taken)

    def _pooled(self, taps: Taps, taken: Mapping[str, str]) -> dict[str, str]:
        """Return tap name -> tensor as heads read it."""
        features = {}
        if taps.probabilities is not None:
            features[PROBABILITIES] = self._row(taps, taps.probabilities, taken)
        if taps.logits is not None:
            features[LOGITS] = self._row(taps, taps.logits, taken)
            features.setdefault(PROBABILITIES, self._write.node("Softmax", features[LOGITS], axis=-1))
        if taps.penultimate is not None:
            features[PENULTIMATE] = self._row(taps, taps.penultimate, taken)
        for stage, tensor in taps.stages.items():
            whole, shape = self._float32(taps, tensor, taken), taps.shapes[tensor]
            if len(shape) == 3:
                features[stage] = pool_tokens(self._write, whole)
            else:
                features[stage] = pool(self._write, whole, side=min(shape[2] or 1, shape[3] or 1))
        return features | dict(taps.networks)

    def _row(self, taps: Taps, tensor: str, taken: Mapping[str, str]) -> str:
        """Return the tensor as (n, d): a victim that ends in a convolution keeps its classes as (n, k, 1, 1)."""
        name = self._float32(taps, tensor, taken)
        return name if len(taps.shapes[tensor]) == 2 else self._write.node("Flatten", name, axis=1)

    def _float32(self, taps: Taps, tensor: str, taken: Mapping[str, str]) -> str:
        name = taken.get(tensor, tensor)
        return self._write.node("Cast", name, to=TensorProto.FLOAT) if tensor in taps.casts else name

    def scores(self, heads: Mapping[str, Head]) -> str:
        """Lower every head and return the (n, m) tensor of their scores."""
        columns = []
        for index, (name, head) in enumerate(heads.items()):
            lowered = lower(head, self.features, prefix=f"{_PREFIX}/{index}-{name}", opset=opset_of(self._model))
            self._write.nodes.extend(lowered.nodes)
            self._write.initializers.extend(lowered.initializers)
            columns.append(self._write.node("Unsqueeze", lowered.score, axes=(1,)))
        return self._write.node("Concat", *columns, axis=1)

    def close(self, outputs: Mapping[str, str]) -> ModelProto:
        """Return the model with these outputs, output name -> tensor, without anything that none of them needs."""
        graph = self._model.graph
        graph.node.extend(self._write.nodes)
        graph.initializer.extend(self._write.initializers)
        graph.node.extend(helper.make_node("Identity", [tensor], [name]) for name, tensor in outputs.items())
        del graph.output[:]
        graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs)
        prune(graph)
        strip(self._model)
        del graph.value_info[:]
        shaped = {o.name: o for o in infer_shapes(self._model).graph.output}
        del graph.output[:]
        graph.output.extend(_two_dimensional(name, shaped[name]) for name in outputs)
        return self._model


def pool(write: NodeWriter, tensor: str, *, side: int) -> str:
    """Return (n, 2c): the mean of each channel of a (n, c, h, w) tensor over its positions, then the deviation.

    `side` is the smaller of h and w. Two global average pools, of x and of x * x: of eight ways that were timed in ONNX Runtime
    on a CPU the cheapest, because it alone stays in the blocked layout of the convolutions around it. What E[x^2] - E[x]^2 loses
    to rounding matters only where a channel's mean is some hundred times its deviation. Squaring a large map still costs a pass
    over memory, so the deviation is taken on a grid of its positions, 28 a side or more.
    """
    mean = write.node("GlobalAveragePool", tensor)
    grid, grid_mean = tensor, mean
    if (stride := side // _GRID) > 1:
        # A window of one position: a strided copy that, unlike Slice, keeps the blocked layout.
        grid = write.node("MaxPool", tensor, kernel_shape=(1, 1), strides=(stride, stride))
        grid_mean = write.node("GlobalAveragePool", grid)
    square = write.node("GlobalAveragePool", write.node("Mul", grid, grid))
    variance = write.node("Sub", square, write.node("Mul", grid_mean, grid_mean))
    return write.node("Flatten", write.node("Concat", mean, _root(write, variance), axis=1), axis=1)


def pool_tokens(write: NodeWriter, tensor: str) -> str:
    """Return (n, 2d): the mean of each feature of a (n, tokens, d) tensor over its tokens, then the deviation."""
    mean = write.node("ReduceMean", tensor, axes=(1,), keepdims=1)
    gap = write.node("Sub", tensor, mean)
    variance = write.node("ReduceMean", write.node("Mul", gap, gap), axes=(1,), keepdims=1)
    return write.node("Flatten", write.node("Concat", mean, _root(write, variance), axis=2), axis=1)


def _root(write: NodeWriter, variance: str) -> str:
    return write.node("Sqrt", write.node("Max", variance, write.constant(np.array(_FLOOR, np.float32))))


def _victims_names(model: ModelProto) -> dict[str, str]:
    """Return new names for the victim's tensors that are called as our outputs are, as in a file of our own export."""
    ours = {PROBABILITIES, LOGITS, PENULTIMATE, SCORES}
    made = {output for node in model.graph.node for output in node.output}
    names = made | {i.name for i in model.graph.initializer} | {i.name for i in model.graph.input}
    if any(name.startswith(f"{_PREFIX}/") for name in names):
        raise GraphError("the graph is protected already; give the victim's own model")
    taken = {name for name in names if name in ours or STAGE.fullmatch(name)}
    if clash := sorted(taken.intersection(i.name for i in model.graph.input)):
        raise GraphError(f"the graph's input is called {clash[0]!r}, as an output of ours is; rename it, to 'image' for example")
    return {name: f"{RENAMED}{name}" for name in taken}


def _two_dimensional(name: str, found: ValueInfoProto) -> ValueInfoProto:
    """Return the output's description, (n, d); GraphError if the graph makes another rank."""
    shape = tensor_shape(found)
    if shape is not None and len(shape) != 2:
        raise GraphError(f"{name} would have shape {shape}; it must be (n, d), and a head's score (n,)")
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", None if shape is None else shape[1]])
