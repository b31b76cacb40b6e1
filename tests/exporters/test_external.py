"""Weights beside the model, and weights that somebody pretends lie there."""

import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporters.graph import graph_bytes, load_graph
from exporters.runtime import run
from guard.errors import GraphError
from guard.onnx_wire import external_files

WEIGHT = np.arange(3, dtype=np.float32).reshape(1, 3, 1, 1)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    return folder


def save(folder, location: str, *, offset="0", length=str(WEIGHT.nbytes)):
    """y = mean of x * w; w lies in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=WEIGHT.shape, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    nodes = [
        helper.make_node("Mul", ["x", "w"], ["z"]),
        helper.make_node("GlobalAveragePool", ["z"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [tensor],
    )
    path = folder / "m.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    return path


@pytest.mark.parametrize("location", ["w.bin", "parts/w.bin"])
def test_weights_in_the_folder_come_inside(folder, location):
    (folder / "parts").mkdir()
    (folder / location).write_bytes(b"\0" * 8 + WEIGHT.tobytes())
    data = graph_bytes(load_graph(save(folder, location, offset="8")))
    assert external_files(data) == 0
    np.testing.assert_array_equal(run(data, np.ones((2, 3, 4, 4), np.float32))["y"], [[0, 1, 2]] * 2)


def test_what_pytorch_writes_by_default_comes_inside(plain_resnet_path, resnet_images):
    assert plain_resnet_path.with_suffix(".onnx.data").is_file()
    data = graph_bytes(load_graph(plain_resnet_path))
    assert external_files(data) == 0
    assert len(run(data, resnet_images)) == 1


@pytest.mark.parametrize("location", ["../secret.bin", "parts/../../secret.bin", "/etc/hostname", "C:\\w.bin", ""])
def test_weights_outside_the_folder_are_refused(folder, location):
    (folder.parent / "secret.bin").write_bytes(WEIGHT.tobytes())
    with pytest.raises(GraphError, match="only files in the model's own folder are read"):
        load_graph(save(folder, location))


def test_symbolic_links_are_refused(folder):
    (folder.parent / "secret.bin").write_bytes(WEIGHT.tobytes())
    (folder / "w.bin").symlink_to(folder.parent / "secret.bin")
    (folder / "parts").symlink_to(folder.parent)
    for location in ("w.bin", "parts/secret.bin"):
        with pytest.raises(GraphError, match="are a symbolic link"):
            load_graph(save(folder, location))


def test_a_folder_that_is_reached_through_a_link_is_fine(folder):
    (folder / "w.bin").write_bytes(WEIGHT.tobytes())
    save(folder, "w.bin")
    (folder.parent / "latest").symlink_to(folder)
    load_graph(folder.parent / "latest" / "m.onnx")


def test_missing_weights_are_named(folder):
    with pytest.raises(GraphError, match=r"lie in 'w\.bin', which is not beside it; copy both files"):
        load_graph(save(folder, "w.bin"))


@pytest.mark.parametrize("location", ["w\0.bin", "w" * 400])
def test_names_that_no_file_can_have_are_refused(folder, location):
    with pytest.raises(GraphError, match=r"the model's weights at 'w.* cannot be read \(.+\)"):
        load_graph(save(folder, location))


def test_pipes_are_not_waited_for(folder):
    os.mkfifo(folder / "w.bin")
    with pytest.raises(GraphError, match="not beside it"):
        load_graph(save(folder, "w.bin"))


@pytest.mark.parametrize(
    ("offset", "length", "message"),
    [
        ("0", "12000", "has 12 bytes and the model reads up to byte 12000"),
        ("-4", "12", "has 12 bytes"),
        ("16", None, "has 12 bytes"),
        ("zero", "12", "no readable place"),
    ],
)
def test_ranges_outside_the_file_are_refused(folder, offset, length, message):
    (folder / "w.bin").write_bytes(WEIGHT.tobytes())
    with pytest.raises(GraphError, match=message):
        load_graph(save(folder, "w.bin", offset=offset, length=length))


def test_range_of_the_wrong_length_for_its_shape_is_refused(folder):
    (folder / "w.bin").write_bytes(WEIGHT.tobytes())
    with pytest.raises(GraphError):
        load_graph(save(folder, "w.bin", length="8"))


def test_weights_of_a_constant_node_are_looked_at(folder):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=WEIGHT.shape, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret.bin")
    model = onnx.load(save(folder, "w.bin"), load_external_data=False)
    del model.graph.initializer[:]
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(WEIGHT)))
    model.graph.node[0].attribute[0].t.CopyFrom(tensor)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(GraphError, match=r"lie at '\.\./secret\.bin'"):
        load_graph(folder / "m.onnx")
