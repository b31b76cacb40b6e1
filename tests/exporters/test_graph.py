"""Somebody's ONNX file, read or refused with a reason."""

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from exporters.graph import graph_bytes, input_of, input_shape, load_graph, opset_of
from exporters.runtime import run
from guard.errors import GraphError


def save(path, *, nodes=None, inputs=None, initializers=(), opset=17, n_out=("n", 3)):
    """A mean over the image's positions, unless told otherwise."""
    nodes = nodes or [
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["y"], axis=1),
    ]
    inputs = inputs or [("x", TensorProto.FLOAT, ["n", 3, 8, 8])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, n_out)],
        list(initializers),
    )
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString())
    return path


def test_good_file_is_read(tmp_path):
    model = load_graph(save(tmp_path / "m.onnx"))
    assert input_of(model) == ("x", (3, 8, 8), "NCHW")
    assert input_shape(model) == (3, 8, 8)
    assert opset_of(model) == 17


def test_channels_last_is_told_from_channels_first(tmp_path):
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1, 2], keepdims=0)]
    model = load_graph(save(tmp_path / "m.onnx", nodes=nodes, inputs=[("x", TensorProto.FLOAT, ["n", 8, 8, 3])]))
    assert input_of(model) == ("x", (8, 8, 3), "NHWC")


def test_bytes_are_the_same_each_time(small_path):
    assert graph_bytes(load_graph(small_path)) == graph_bytes(load_graph(small_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, "not an ONNX file"),
        (b"this is a text file, not a model", "not an ONNX file"),
        (b"\x08\x07", "not an ONNX file: no graph"),
    ],
)
def test_what_is_no_onnx_file_is_refused(tmp_path, content, message):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(GraphError, match=message):
        load_graph(tmp_path / "m.onnx")


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(GraphError, match=r"cannot read the model .*No such file"):
        load_graph(tmp_path / "none.onnx")
    with pytest.raises(GraphError, match="cannot read the model"):
        load_graph(tmp_path / ("n" * 400))


def test_what_would_be_waited_for_or_read_for_ever_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    for path in (tmp_path, tmp_path / "pipe.onnx", Path("/dev/zero")):
        with pytest.raises(GraphError, match="is no file; give the model's"):
            load_graph(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_file_is_refused(tmp_path, small_path, share):
    data = small_path.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(GraphError, match=r"cut short|not an ONNX file"):
        load_graph(tmp_path / "cut.onnx")


def test_flipped_bytes_never_escape_as_a_foreign_error(tmp_path, small_path):
    data = bytearray(small_path.read_bytes())
    rng = np.random.default_rng(7)
    for _ in range(60):
        broken = bytearray(data)
        for position in rng.integers(0, len(data), size=4):
            broken[position] = int(rng.integers(256))
        (tmp_path / "m.onnx").write_bytes(broken)
        with suppress(GraphError):  # most flips hit a weight and are not to be seen
            load_graph(tmp_path / "m.onnx")


@pytest.mark.parametrize("opset", [11, 12, 999])
def test_opset_outside_the_range_is_named(tmp_path, opset):
    with pytest.raises(GraphError, match=rf"opset {opset}; 13 to \d+ are read"):
        load_graph(save(tmp_path / "m.onnx", opset=opset))


@pytest.mark.parametrize("opset", [13, 17, onnx.defs.onnx_opset_version()])
def test_opset_at_the_ends_of_the_range_is_read(tmp_path, opset):
    assert opset_of(onnx.load(save(tmp_path / "m.onnx", opset=opset))) == opset


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([("x", TensorProto.UINT8, ["n", 3, 8, 8])], "'x' is uint8; it must be float32"),
        ([("x", TensorProto.FLOAT16, ["n", 3, 8, 8])], "'x' is float16; it must be float32"),
        ([("x", TensorProto.FLOAT, ["n", 3, 8])], "must have four dimensions"),
        ([("x", TensorProto.FLOAT, None)], "shape None; it must have four"),
        ([("x", TensorProto.FLOAT, ["n", 3, "h", "w"])], "must be fixed"),
        ([("x", TensorProto.FLOAT, ["n", 3, 8, 8]), ("age", TensorProto.FLOAT, ["n"])], r"2 inputs \('x', 'age'\)"),
    ],
)
def test_input_that_is_no_image_is_refused(tmp_path, inputs, message):
    with pytest.raises(GraphError, match=message):
        load_graph(save(tmp_path / "m.onnx", inputs=inputs))


def test_operator_that_nobody_has_is_refused(tmp_path):
    nodes = [helper.make_node("Frobnicate", ["x"], ["y"])]
    with pytest.raises(GraphError, match=r"ONNX Runtime cannot load the graph: .*Frobnicate"):
        load_graph(save(tmp_path / "m.onnx", nodes=nodes))


class Reshaping(nn.Module):
    """Writes its batch size into two Reshapes, one of which infers another dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4 * 64, 5)

    def forward(self, image):
        x = self.conv(image)
        x = x.reshape(x.shape[0], 4, 64).relu()
        return self.head(x.reshape(x.shape[0], -1))


@pytest.mark.parametrize("dynamo", [True, False])
def test_fixed_batch_becomes_free(tmp_path, export_plainly, dynamo):
    torch.manual_seed(0)
    module = Reshaping().eval()
    images = np.random.default_rng(1).random((5, 3, 8, 8), dtype=np.float32)
    path = export_plainly(module, tmp_path / "m.onnx", images[:1], dynamo=dynamo)
    (found,) = run(graph_bytes(load_graph(path)), images).values()
    with torch.no_grad():
        np.testing.assert_allclose(found, module(torch.from_numpy(images)).numpy(), rtol=1e-4, atol=1e-5)


def test_batch_that_cannot_be_freed_is_refused(tmp_path):
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["rows"]),
        helper.make_node("Concat", ["rows", "token"], ["y"], axis=1),
    ]
    weights = [
        numpy_helper.from_array(np.array([1, 192], np.int64), "shape"),
        numpy_helper.from_array(np.ones((1, 2), np.float32), "token"),
    ]
    path = save(
        tmp_path / "m.onnx", nodes=nodes, inputs=[("x", TensorProto.FLOAT, [1, 3, 8, 8])], initializers=weights, n_out=[1, 194]
    )
    with pytest.raises(GraphError, match="batch size is fixed; export it with a dynamic batch"):
        load_graph(path)


def test_model_in_training_mode_is_refused(tmp_path):
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "m"], ["centred"]),
        helper.make_node("GlobalMaxPool", ["centred"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["y"], axis=1),
    ]
    with pytest.raises(GraphError, match="'y' of an image changes with the other image in its batch"):
        load_graph(save(tmp_path / "m.onnx", nodes=nodes))
