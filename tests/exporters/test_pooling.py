"""What heads read of stages: mean and deviation, each stage its own, however many are pooled together."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from exporters.lower import NodeWriter
from exporters.pooling import Stage, pool
from exporters.runtime import run

RNG = np.random.default_rng(1)


def pooled(shapes, *, opset=18):
    """(inputs, what heads read of each): stages cut out of one input."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    write = NodeWriter("p", opset)
    parts = write.split("flat", sizes)
    stages = {}
    for i, (part, shape) in enumerate(zip(parts, shapes, strict=True), start=1):
        tensor = write.node("Reshape", part, write.constant(np.array([-1, *shape], np.int64)))
        stages[f"stage{i}"] = Stage(tensor, (None, *shape))
    names = [write.tensor(selection) for selection in pool(write, stages).values()]
    names = [write.node("Identity", name) for name in names]
    flat = helper.make_node("Flatten", ["x"], ["flat"], axis=1)
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [flat, *write.nodes],
        "g",
        [info("x", TensorProto.FLOAT, ["n", 1, 1, sum(sizes)])],
        [info(name, TensorProto.FLOAT, None) for name in names],
        write.initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    x = RNG.normal(3.0, 2.0, size=(2, 1, 1, sum(sizes))).astype(np.float32)
    x[..., : sizes[0] // shapes[0][0]] = 7.5  # a flat channel, where channels come first
    rows = np.split(x.reshape(2, -1), np.cumsum(sizes)[:-1], axis=1)
    found = list(run(model.SerializeToString(), x).values())
    return [row.reshape(2, *shape) for row, shape in zip(rows, shapes, strict=True)], found


def expected(x):
    """Mean and deviation in float64, the deviation of a map on a grid of 28 positions a side or more."""
    x = x.astype(np.float64)
    step = max(1, min(x.shape[2:]) // 28) if x.ndim == 4 else 1
    grid, axes = (x[:, :, ::step, ::step], (2, 3)) if x.ndim == 4 else (x, (1,))
    return x.mean(axis=axes), np.sqrt(np.maximum(grid.var(axis=axes), 1e-6))


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
@pytest.mark.parametrize("side", [1, 3, 28, 60, 112])
def test_pooling_is_mean_and_deviation(side, opset):
    (x,), (found,) = pooled([(16, side, side)], opset=opset)
    for half, truth in zip((found[:, :16], found[:, 16:]), expected(x), strict=True):
        np.testing.assert_allclose(half, truth, rtol=1e-3, atol=5e-3)
    np.testing.assert_allclose(found[:, :16], expected(x)[0], rtol=1e-4, atol=1e-5)
    assert (found[:, 16:] > 0).all()


@pytest.mark.parametrize(
    "shapes",
    [
        [(5, 8, 8), (7, 4, 4)],
        [(3, 60, 60), (16, 30, 31), (4, 2, 2)],  # one of them on a grid
        [(9, 6), (5, 8)],
        [(4, 6, 6), (9, 6), (16, 3, 3), (5, 8)],  # tokens between maps
    ],
    ids=["maps", "grid", "tokens", "both"],
)
def test_stages_pooled_together_are_each_their_own(shapes):
    inputs, found = pooled(shapes)
    for x, features in zip(inputs, found, strict=True):
        mean, deviation = expected(x)
        np.testing.assert_allclose(features[:, : mean.shape[1]], mean, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(features[:, mean.shape[1] :], deviation, rtol=1e-3, atol=5e-3)


def test_a_stage_more_costs_three_nodes():
    counts = []
    for n in (1, 2, 3):
        write = NodeWriter("p", 18)
        pool(write, {f"stage{i}": Stage(f"x{i}", (None, 8, 4, 4)) for i in range(n)})
        counts.append(len(write.nodes))
    assert np.diff(counts).tolist() == [3, 3]
    assert counts[0] <= 3 + 8
