"""Every operation that a HeadBuilder writes, lowered and compared with numpy, in the opsets where operators change."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from exporters.lower import lower
from exporters.runtime import run
from guard.detectors.head import HeadBuilder, Value
from guard.errors import GraphError

OPSETS = (13, 17, 18, 20)
A = np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)
B = np.random.default_rng(2).normal(size=6).astype(np.float32)
W = np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)

# name of the builder's method -> (how it is written, what numpy says)
CASES: dict[str, tuple[Callable[[HeadBuilder, Value], Value], np.ndarray]] = {
    "add": (lambda g, x: g.add(x, B), A + B),
    "sub": (lambda g, x: g.sub(B, x), B - A),
    "mul": (lambda g, x: g.mul(x, B), A * B),
    "div": (lambda g, x: g.div(x, B), A / B),
    "pow": (lambda g, x: g.pow(x, np.array(2.0)), A**2),
    "matmul": (lambda g, x: g.matmul(x, W), A @ W),
    "minimum": (lambda g, x: g.minimum(x, B), np.minimum(A, B)),
    "maximum": (lambda g, x: g.maximum(x, np.array(0.25)), np.maximum(A, 0.25)),
    "neg": (lambda g, x: g.neg(x), -A),
    "sqrt": (lambda g, x: g.sqrt(g.mul(x, x)), np.abs(A)),
    "exp": (lambda g, x: g.exp(x), np.exp(A)),
    "log": (lambda g, x: g.log(g.exp(x)), A),
    "relu": (lambda g, x: g.relu(x), np.maximum(A, 0)),
    "softmax": (lambda g, x: g.softmax(x), np.exp(A) / np.exp(A).sum(axis=1, keepdims=True)),
    "concat": (lambda g, x: g.concat([x, g.neg(x)], axis=1), np.concatenate([A, -A], axis=1)),
    "unsqueeze": (lambda g, x: g.unsqueeze(x, axis=1), A[:, None]),
    "squeeze": (lambda g, x: g.squeeze(g.unsqueeze(x, axis=2), axis=2), A),
    "reduce_sum": (lambda g, x: g.reduce_sum(x, axis=1), A.sum(axis=1)),
    "reduce_mean": (lambda g, x: g.reduce_mean(x, axis=1), A.mean(axis=1)),
    "reduce_max": (lambda g, x: g.reduce_max(x, axis=1), A.max(axis=1)),
    "reduce_min": (lambda g, x: g.reduce_min(x, axis=1), A.min(axis=1)),
    "reduce_sum_square": (lambda g, x: g.reduce_sum_square(x, axis=1), (A**2).sum(axis=1)),
    "reduce_log_sum_exp": (lambda g, x: g.reduce_log_sum_exp(x, axis=1), np.log(np.exp(A).sum(axis=1))),
    "kth_smallest": (lambda g, x: g.kth_smallest(x, k=2), np.sort(A, axis=1)[:, 1]),
    "top_k": (lambda g, x: g.top_k(x, k=3), np.sort(A, axis=1)[:, :-4:-1]),
}


def build(write, opset: int, rank: int) -> bytes:
    """A graph that is one head and nothing else, over a (n, 6) tap."""
    g = HeadBuilder()
    lowered = lower(g.head(score=write(g, g.tap("penultimate"))), {"penultimate": "x"}, prefix="p", opset=opset)
    graph = helper.make_graph(
        lowered.nodes,
        "head",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6])],
        [helper.make_tensor_value_info(lowered.score, TensorProto.FLOAT, [None] * rank)],
        lowered.initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def test_every_operation_of_the_builder_has_a_case():
    public = {name for name in vars(HeadBuilder) if not name.startswith("_")}
    assert public - {"tap", "constant", "head"} == set(CASES)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", CASES)
def test_operation_computes_what_numpy_does(name, opset):
    write, expected = CASES[name]
    (found,) = run(build(write, opset, expected.ndim), A).values()
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", CASES)
def test_operation_takes_no_rows(name):
    write, expected = CASES[name]
    (found,) = run(build(write, 18, expected.ndim), A[:0]).values()
    assert found.shape == (0, *expected.shape[1:])


def test_every_name_is_below_the_prefix():
    g = HeadBuilder()
    lowered = lower(g.head(score=g.kth_smallest(g.add(g.tap("logits"), B), k=1)), {"logits": "y"}, prefix="k/3", opset=18)
    names = [i.name for i in lowered.initializers] + [o for n in lowered.nodes for o in (*n.output, n.name)]
    assert all(name.startswith("k/3/") for name in names)
    tensors = [i.name for i in lowered.initializers] + [o for n in lowered.nodes for o in n.output]
    assert len(set(tensors)) == len(tensors)


def test_tap_that_is_not_there_is_named():
    g = HeadBuilder()
    head = g.head(score=g.reduce_max(g.tap("logits"), axis=1))
    with pytest.raises(GraphError, match="reads 'logits', which the graph does not have; known are probabilities"):
        lower(head, {"probabilities": "p"}, prefix="k", opset=18)
