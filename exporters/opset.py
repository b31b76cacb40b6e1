"""A network brought to another graph's opset: one ONNX model has one version of the standard operators."""

import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper, version_converter

from exporters.graph import opset_of
from guard.errors import GraphError
from guard.types import Array

# From opset 13 on these only learned further types, or an attribute that we drop where it says nothing.
_UNCHANGED = frozenset(
    {
        "Relu",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Reshape",
        "Flatten",
        "Identity",
        "Cast",
        "Constant",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
    }
    | {"MaxPool", "AveragePool", "Concat", "Clip", "Sigmoid", "HardSwish", "Shape", "Slice", "Gemm", "MatMul", "Conv", "Pow"}
    | {"GlobalAveragePool", "BatchNormalization", "Sqrt"}
)
_REDUCTIONS = frozenset({"ReduceMean", "ReduceMax", "ReduceMin"})  # their axes became an input with opset 18


def to_opset(network: ModelProto, opset: int) -> ModelProto:
    """Return the network in this opset; GraphError names the operator that cannot be written so."""
    found = opset_of(network)
    if found == opset:
        return network
    if found < opset:
        try:
            return version_converter.convert_version(network, opset)
        except (RuntimeError, ValueError) as error:
            raise GraphError(
                f"the network of opset {found} cannot be brought to the victim's {opset} ({error}); export both alike"
            ) from None
    lowered = ModelProto()
    lowered.CopyFrom(network)
    constants: dict[str, Array] = {i.name: numpy_helper.to_array(i) for i in network.graph.initializer}
    for node in lowered.graph.node:
        if node.op_type in _REDUCTIONS and opset < 18 <= found:
            _axes_as_attribute(node, constants)
        elif node.op_type == "Reshape" and opset < 14 <= found and 0 not in constants.get(node.input[1], [0]):
            _drop(node, "allowzero")
        elif not node.domain and not _same(node.op_type, found, opset):
            raise GraphError(
                f"the network has {node.op_type} of opset {found}, and the victim's graph has opset {opset}; export the victim "
                f"with opset_version={found}"
            )
    del lowered.opset_import[:]
    lowered.opset_import.extend([helper.make_opsetid("", opset), *(o for o in network.opset_import if o.domain)])
    return lowered


def _axes_as_attribute(node: NodeProto, constants: dict[str, Array]) -> None:
    if len(node.input) > 1:
        axes = constants.get(node.input[1])
        if axes is None:
            raise GraphError(f"{node.op_type} of the network computes its axes; export the victim with opset_version=18")
        del node.input[1:]
        node.attribute.append(helper.make_attribute("axes", [int(a) for a in axes]))
    _drop(node, "noop_with_empty_axes")


def _drop(node: NodeProto, name: str) -> None:
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)


def _same(op: str, newer: int, older: int) -> bool:
    if op in _UNCHANGED:
        return True
    try:
        return bool(onnx.defs.get_schema(op, newer).since_version == onnx.defs.get_schema(op, older).since_version)
    except onnx.defs.SchemaError:  # the older opset has no such operator
        return False
