"""Changes to an ONNX graph that keep what it computes: names, dead nodes, and what an exporter wrote about its machine."""

from collections.abc import Iterable, Iterator, Mapping
from heapq import heappop, heappush
from typing import Any

from onnx import GraphProto, ModelProto, NodeProto


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs inside a node: the branches of an If, the body of a Loop."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def reads(node: NodeProto) -> set[str]:
    """Return the tensors that a node reads, those that its subgraphs take from outside included."""
    names = {name for name in node.input if name}
    for graph in subgraphs(node):
        own = {i.name for i in graph.input} | {i.name for i in graph.initializer} | {o for n in graph.node for o in n.output}
        inner = {o.name for o in graph.output}.union(*(reads(n) for n in graph.node))
        names |= inner - own
    return names


def rename(graph: GraphProto, names: Mapping[str, str]) -> None:
    """Rename tensors everywhere in a graph and in its subgraphs, in place."""
    for info in (*graph.input, *graph.output, *graph.value_info):
        info.name = names.get(info.name, info.name)
    for initializer in graph.initializer:
        initializer.name = names.get(initializer.name, initializer.name)
    for sparse in graph.sparse_initializer:
        sparse.values.name = names.get(sparse.values.name, sparse.values.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for inner in subgraphs(node):
            rename(inner, names)


def sort(graph: GraphProto) -> None:
    """Bring the nodes into an order in which each reads only what was made before it, in place; else as they stood.

    ONNX demands such an order, ONNX Runtime does not, and its converter to half precision leaves casts at the end. A graph that
    runs in a circle stays as it is: it is refused where it is run.
    """
    maker = {output: place for place, node in enumerate(graph.node) for output in node.output if output}
    waits = [{maker[name] for name in reads(node) if name in maker} for node in graph.node]
    readers: dict[int, list[int]] = {}
    for place, makers in enumerate(waits):
        for made in makers:
            readers.setdefault(made, []).append(place)
    ready = [place for place, makers in enumerate(waits) if not makers]  # rising, so a heap already
    order = []
    while ready:
        order.append(place := heappop(ready))
        for reader in readers.get(place, ()):
            waits[reader].remove(place)
            if not waits[reader]:
                heappush(ready, reader)
    if len(order) == len(graph.node) and order != sorted(order):
        _replace(graph.node, [graph.node[place] for place in order])


def prune(graph: GraphProto) -> None:
    """Drop the nodes, weights and shape notes that no output of the graph needs, in place."""
    needed = {output.name for output in graph.output}
    kept: list[NodeProto] = []
    for node in reversed(graph.node):  # ONNX keeps nodes in topological order
        if needed.intersection(node.output):
            kept.append(node)
            needed |= reads(node)
    _replace(graph.node, reversed(kept))
    _replace(graph.initializer, [i for i in graph.initializer if i.name in needed])
    _replace(graph.sparse_initializer, [i for i in graph.sparse_initializer if i.values.name in needed])
    _replace(graph.value_info, [i for i in graph.value_info if i.name in needed])
    # An input that only repeats a weight (IR version 3) goes with it; the image stays.
    weights = {i.name for i in graph.initializer}
    _replace(graph.input, [i for i in graph.input if i.name in needed and i.name not in weights])


def strip(model: ModelProto) -> None:
    """Remove texts and metadata, in place: PyTorch's exporter writes stack traces with the paths of the machine into them."""
    for name in ("doc_string", "metadata_props", "domain", "model_version", "producer_version"):
        model.ClearField(name)
    model.producer_name = "knockguard"
    _strip(model.graph)


def _strip(graph: GraphProto) -> None:
    graph.name = "graph"
    entries = (graph, *graph.input, *graph.output, *graph.value_info, *graph.initializer, *graph.node)
    for entry in entries:
        _forget(entry)
    del graph.quantization_annotation[:]
    for node in graph.node:
        for attribute in node.attribute:
            attribute.ClearField("doc_string")
        for inner in subgraphs(node):
            _strip(inner)


def _forget(entry: Any) -> None:
    for name in ("doc_string", "metadata_props"):
        entry.ClearField(name)


def _replace(field: Any, items: Iterable[Any]) -> None:
    copies = list(items)
    del field[:]
    field.extend(copies)
