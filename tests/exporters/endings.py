"""Tiny victims that end as a test tells them: mean over places, dense layer, and then the nodes that are given."""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from guard.types import Floats

N_CLASSES = 4
LAST = "dense"  # the tensor that a dense layer gives
RESHAPED = np.array([-1, N_CLASSES])


def ending(folder: Path, nodes: list[tuple[Any, ...]], *, name: str = "y", batch: int | str = "n") -> Path:
    """Write a victim of (n, 3, 8, 8) images; each node is (operator, attributes, *further inputs).

    A node reads the one before it; an array is stored as a weight, and an integer names the node that many before it instead.
    """
    rng = np.random.default_rng(0)
    # Spread out, so that a softmax taken twice is far from one taken once.
    weights = [numpy_helper.from_array(rng.normal(size=(3, N_CLASSES)).astype(np.float32) * 8, "w")]
    weights.append(numpy_helper.from_array(rng.normal(size=N_CLASSES).astype(np.float32), "b"))
    made = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "w", "b"], [LAST]),
    ]
    tensors = [LAST]
    for index, (op, attributes, *further) in enumerate(nodes):
        inputs = [tensors[-1]] if not any(isinstance(f, int) for f in further) else []
        for f in further:
            if isinstance(f, int):
                inputs.append(tensors[f])
            else:
                weights.append(numpy_helper.from_array(np.asarray(f), f"weight{index}_{len(inputs)}"))
                inputs.append(weights[-1].name)
        tensors.append(name if index == len(nodes) - 1 else f"tensor{index}")
        made.append(helper.make_node(op, inputs, [tensors[-1]], **attributes))
    kind = next((a["to"] for op, a, *_ in reversed(nodes) if op == "Cast"), TensorProto.FLOAT)
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 8, 8])]
    ends.append(helper.make_tensor_value_info(tensors[-1], kind, None))
    graph = helper.make_graph(made, "g", ends[:1], ends[1:], weights)
    path = folder / "victim.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def softmax(logits: Floats) -> Floats:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
