"""Columns of a joined tensor: a product reads the whole, anything else gathers, and both say what the columns say."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from exporters.lower import lower
from exporters.runtime import run
from exporters.selection import Selection, side_by_side
from guard.detectors.head import HeadBuilder

X = np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)
W = np.random.default_rng(2).normal(size=(5, 2)).astype(np.float32)
TAPS = {"stage1": Selection("x", np.array([4, 1]), 6), "stage2": Selection("x", np.array([0, 5, 1]), 6)}
COLUMNS = [4, 1, 0, 5, 1]  # one of them twice


def lowered(write):
    g = HeadBuilder()
    return lower(g.head(score=write(g, g.concat([g.tap("stage1"), g.tap("stage2")], axis=1))), TAPS, prefix="p", opset=18)


def value(head):
    info = helper.make_tensor_value_info
    ends = [info("x", TensorProto.FLOAT, ["n", 6])], [info(head.score, TensorProto.FLOAT, None)]
    graph = helper.make_graph(head.nodes, "g", *ends, head.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return next(iter(run(model.SerializeToString(), X).values()))


def test_product_with_weights_reads_the_whole_tensor():
    head = lowered(lambda g, x: g.matmul(x, W))
    assert [n.op_type for n in head.nodes] == ["MatMul"]
    np.testing.assert_allclose(value(head), X[:, COLUMNS] @ W, rtol=1e-5, atol=1e-6)


def test_other_operations_gather_once():
    head = lowered(lambda g, x: g.add(g.mul(x, x), x))
    assert [n.op_type for n in head.nodes].count("Gather") == 1
    np.testing.assert_allclose(value(head), X[:, COLUMNS] ** 2 + X[:, COLUMNS], rtol=1e-5)


def test_weights_on_the_left_are_no_product_of_columns():
    left = np.random.default_rng(3).normal(size=(3, 5)).astype(np.float32)
    head = lowered(lambda g, x: g.matmul(g.constant(left), x))
    np.testing.assert_allclose(value(head), left @ X[:, COLUMNS], rtol=1e-5, atol=1e-6)


def test_score_that_is_a_selection_is_gathered():
    np.testing.assert_array_equal(value(lowered(lambda _, x: x)), X[:, COLUMNS])


@pytest.mark.parametrize("other", ["y", Selection("y", np.arange(2), 2)], ids=["tensor", "of another"])
def test_columns_of_different_tensors_are_not_one_selection(other):
    assert side_by_side([TAPS["stage1"], other]) is None


def test_only_all_columns_in_order_are_the_tensor_itself():
    assert Selection("x", np.arange(6), 6).is_whole
    assert not Selection("x", np.arange(5), 6).is_whole
    assert not Selection("x", np.arange(6)[::-1], 6).is_whole
