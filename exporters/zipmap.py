"""ZipMap, with which scikit-learn's converter ends by default: a dictionary a row, where a tensor of probabilities would do."""

from onnx import ModelProto, TensorProto, helper

from exporters.rewrite import prune, rename

_PROBABILITIES = "probabilities"


def without_zipmap(model: ModelProto) -> None:
    """Put the tensor that a ZipMap was made of into its place among the outputs; named `probabilities` if nothing else is.

    What it maps to are the classes' labels, which a bundle has in a list of its own.
    """
    for node in [n for n in model.graph.node if n.op_type == "ZipMap" and n.domain == "ai.onnx.ml"]:
        outputs = [o.name for o in model.graph.output]
        if node.output[0] not in outputs:
            continue
        n_classes = max(len(a.ints) + len(a.strings) for a in node.attribute)
        names = {name for other in model.graph.node for name in (*other.input, *other.output)} | set(outputs)
        tensor = node.input[0]
        if _PROBABILITIES not in names:
            rename(model.graph, {tensor: _PROBABILITIES})
            tensor = _PROBABILITIES
        place = outputs.index(node.output[0])
        model.graph.output[place].CopyFrom(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, [None, n_classes]))
        prune(model.graph)
