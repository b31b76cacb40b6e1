"""A score as a column: the same values, and a node more only where it cannot be had without."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from exporters.lower import lower
from exporters.runtime import run
from exporters.score_column import as_column
from guard.detectors.head import HeadBuilder

X = np.abs(np.random.default_rng(1).normal(size=(5, 6))).astype(np.float32) + 1
W = np.random.default_rng(2).normal(size=(6, 1)).astype(np.float32)
TWO = np.array(2.0)

# how a score is written -> operations that its column may have
CASES = {
    "reduction": (lambda g, x: g.reduce_max(x, axis=1), 1),
    "negated reduction": (lambda g, x: g.neg(g.reduce_max(x, axis=1)), 2),
    "scaled, constant first": (lambda g, x: g.sub(TWO, g.mul(g.reduce_log_sum_exp(x, axis=1), TWO)), 3),
    "squeeze": (lambda g, x: g.squeeze(g.matmul(x, W), axis=1), 1),
    "squeeze within": (lambda g, x: g.exp(g.squeeze(g.matmul(x, W), axis=1)), 2),
    "kth smallest": (lambda g, x: g.kth_smallest(x, k=2), 2),
    "two reductions": (lambda g, x: g.sub(g.reduce_max(x, axis=1), g.reduce_min(x, axis=1)), 4),
    "reduction of a reduction": (lambda g, x: g.reduce_max(g.reduce_sum(g.unsqueeze(x, axis=1), axis=1), axis=1), 3),
}


def read_twice(g, x):
    """The reduction's value is read by a product of rows as well, which needs it as it was."""
    top = g.reduce_max(x, axis=1)
    return g.neg(g.mul(top, top))


CASES["read twice"] = (read_twice, 4)


def value(head):
    info = helper.make_tensor_value_info
    low = lower(head, {"logits": "x"}, prefix="p", opset=18)
    ends = [info("x", TensorProto.FLOAT, ["n", 6])], [info(low.score, TensorProto.FLOAT, None)]
    graph = helper.make_graph(low.nodes, "g", *ends, low.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return next(iter(run(model.SerializeToString(), X).values()))


@pytest.mark.parametrize("name", CASES)
def test_column_holds_the_scores(name):
    write, n_operations = CASES[name]
    g = HeadBuilder()
    head = g.head(score=write(g, g.tap("logits")))
    column = as_column(head)
    assert len(column.operations) == n_operations
    np.testing.assert_allclose(value(column), value(head)[:, None], rtol=1e-6)


def test_head_is_not_changed():
    g = HeadBuilder()
    head = g.head(score=g.neg(g.reduce_max(g.tap("logits"), axis=1)))
    before = head.operations
    as_column(head)
    assert head.operations is before
    assert value(head).shape == (5,)


def test_score_that_is_a_tap_gets_its_axis():
    g = HeadBuilder()
    head = as_column(g.head(score=g.tap("logits")))
    assert [o.op for o in head.operations] == ["Unsqueeze"]
