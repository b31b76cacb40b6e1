"""Fuse: a victim, its pooled stages and all heads become one graph, so that one inference gives answer and scores."""

from collections.abc import Iterable, Mapping

from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from exporters.graph import infer_shapes, opset_of, tensor_shape
from exporters.lower import NodeWriter, lower
from exporters.pooling import Stage, pool
from exporters.rewrite import prune, rename, strip
from exporters.score_column import as_column
from exporters.selection import Selection
from exporters.taps import STAGE, Taps
from guard.detectors.head import Head
from guard.errors import GraphError
from guard.registry import nearest

PROBABILITIES, LOGITS, PENULTIMATE, SCORES = "probabilities", "logits", "penultimate", "scores"
RENAMED = "victim/"  # before the names of the victim's tensors that are called as our outputs are
_PREFIX = "knockguard"


def feature_graph(model: ModelProto, taps: Taps) -> ModelProto:
    """Return the victim with what heads read as outputs: `probabilities`, `logits` and `penultimate` where the graph has them,
    each stage pooled to (n, 2c) and each network beside it under its name. All float32.
    """
    graph = _Fused(model, taps, stages=taps.stages)
    return graph.close(graph.features)


def fuse(model: ModelProto, taps: Taps, heads: Mapping[str, Head]) -> ModelProto:
    """Return the victim with all heads: outputs are `probabilities` (n, k) and `scores` (n, m), both float32, and nothing else.

    Columns of `scores` are in the order of `heads`. GraphError if there is no head, one reads a tap that the graph does not
    have, or its score is not (n,).
    """
    if not heads:
        raise GraphError("no head to fuse; give at least one, such as energy")
    wanted = {tap for head in heads.values() for tap in head.taps}
    graph = _Fused(model, taps, stages=wanted)
    known = {*graph.features, *taps.stages}
    if odd := sorted(wanted - known):
        raise GraphError(f"the head reads {odd[0]!r}, which the graph does not have{nearest(odd[0], known)}")
    return graph.close({PROBABILITIES: graph.features[PROBABILITIES], SCORES: graph.scores(heads)})


class _Fused:
    """A copy of the victim that grows: pooled taps at once, those of `stages` that it has, then heads, then `close`."""

    def __init__(self, model: ModelProto, taps: Taps, *, stages: Iterable[str]) -> None:
        self._model = ModelProto()
        self._model.CopyFrom(model)
        self._n_classes = taps.n_classes
        self._write = NodeWriter(f"{_PREFIX}/taps", opset_of(model))
        taken = _victims_names(self._model)
        rename(self._model.graph, taken)
        self.features = self._pooled(taps, taken, frozenset(stages))

    def _pooled(self, taps: Taps, taken: Mapping[str, str], wanted: frozenset[str]) -> dict[str, str | Selection]:
        """Return tap name -> what heads read."""
        features: dict[str, str | Selection] = {}
        if taps.probabilities is not None:
            features[PROBABILITIES] = self._row(taps, taps.probabilities, taken)
        if taps.logits is not None:
            features[LOGITS] = logits = self._row(taps, taps.logits, taken)
            if PROBABILITIES not in features:
                features[PROBABILITIES] = self._write.node("Softmax", logits, axis=-1)
        if taps.penultimate is not None:
            features[PENULTIMATE] = self._row(taps, taps.penultimate, taken)
        shown = {name: tensor for name, tensor in taps.stages.items() if name in wanted}
        whole = {name: Stage(self._float32(taps, tensor, taken), taps.shapes[tensor]) for name, tensor in shown.items()}
        features |= pool(self._write, whole)
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
            lowered = lower(as_column(head), self.features, prefix=f"{_PREFIX}/{index}-{name}", opset=opset_of(self._model))
            self._write.nodes.extend(lowered.nodes)
            self._write.initializers.extend(lowered.initializers)
            columns.append(lowered.score)
        return self._write.node("Concat", *columns, axis=1)

    def close(self, outputs: Mapping[str, str | Selection]) -> ModelProto:
        """Return the model with these outputs, output name -> what it is, without anything that none of them needs."""
        graph = self._model.graph
        tensors = {name: self._write.tensor(chosen) for name, chosen in outputs.items()}
        graph.node.extend(self._write.nodes)
        graph.initializer.extend(self._write.initializers)
        # Ours take the output's name. The victim's keep theirs, by which they may be asked for.
        ours = {output for node in self._write.nodes for output in node.output}
        renamed = {tensor: name for name, tensor in tensors.items() if tensor in ours}
        rename(graph, renamed)
        copied = {name: renamed.get(tensor, tensor) for name, tensor in tensors.items()}
        graph.node.extend(helper.make_node("Identity", [t], [name]) for name, t in copied.items() if t != name)
        del graph.output[:]
        graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs)
        prune(graph)
        strip(self._model)
        del graph.value_info[:]
        shaped = {o.name: o for o in infer_shapes(self._model).graph.output}
        del graph.output[:]
        graph.output.extend(_two_dimensional(name, shaped[name]) for name in outputs)
        return self._model


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
