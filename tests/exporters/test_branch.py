"""A second network in the victim's graph: the same features as by itself, whatever the victim makes of its input."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from exporters.branch import IMAGENET_MEAN, IMAGENET_STD, Branch, attach, read_branch
from exporters.fuse import feature_graph, fuse
from exporters.graph import graph_bytes, load_graph
from exporters.parity import check_parity
from exporters.runtime import run
from exporters.taps import find_taps
from guard.bundle import InputSpec
from guard.detectors.frozen_lr import FrozenLr
from guard.detectors.head import HeadBuilder
from guard.detectors.msp import Msp
from guard.errors import GraphError

TAP = FrozenLr().network.tap
LEVELS = np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3)).astype(np.float32)


class Features(nn.Module):
    """The last operations of a ResNet: a stride, a sum of branches, the mean over places."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.Conv2d(6, 6, 3, padding=1)

    def forward(self, image):
        x = self.first(image).relu()
        return torch.flatten(nn.functional.adaptive_avg_pool2d((x + self.second(x)).relu(), 1), 1)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(2)
    return Features().eval()


@pytest.fixture(scope="module")
def branch(network, tmp_path_factory, export_plainly) -> Branch:
    sample = np.zeros((1, 3, 16, 16), np.float32)
    path = export_plainly(network, tmp_path_factory.mktemp("branch") / "n.onnx", sample, opset_version=18)
    return read_branch(path)


def victim(path, *, layout: str = "NCHW", channels: int = 3, side: int = 12, opset: int = 18):
    """A victim of two classes: the mean of each of two channels of a convolution, in any layout."""
    rng = np.random.default_rng(1)
    shape = [channels, side, side] if layout == "NCHW" else [side, side, channels]
    first = [helper.make_node("Transpose", ["image"], ["chw"], perm=(0, 3, 1, 2))] if layout == "NHWC" else []
    nodes = [
        *first,
        helper.make_node("Conv", ["chw" if first else "image", "w"], ["places"]),
        helper.make_node("GlobalAveragePool", ["places"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(rng.normal(size=(2, channels, 3, 3)).astype(np.float32), "w")],
    )
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString())
    return load_graph(path)


def expected(network: nn.Module, levels: np.ndarray, side: int = 16) -> np.ndarray:
    """What PyTorch says of grey levels (n, h, w, 3), resized and normalised as ImageNet's networks want them."""
    x = torch.from_numpy(np.moveaxis(levels, 3, 1) / np.float32(255)).float()
    x = nn.functional.interpolate(x, (side, side), mode="bilinear", align_corners=False)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        return network((x - mean) / std).numpy()


SPECS = {
    "unit": {"scale": 1 / 255},
    "raw": {"scale": 1.0},
    "imagenet": {"scale": 1 / 255, "mean": IMAGENET_MEAN, "std": IMAGENET_STD},
    "signed": {"scale": 1 / 127.5, "mean": (1.0,)},
}


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("scale", SPECS)
def test_features_are_those_of_the_network_by_itself(tmp_path, network, branch, layout, scale):
    model = victim(tmp_path / "v.onnx", layout=layout)
    shape = (3, 12, 12) if layout == "NCHW" else (12, 12, 3)
    spec = InputSpec(name="image", shape=shape, layout=layout, **SPECS[scale])
    whole, taps = attach(model, find_taps(model), {TAP: branch}, spec)
    inputs = (LEVELS * spec.scale - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    inputs = (inputs if layout == "NHWC" else np.moveaxis(inputs, 3, 1)).astype(np.float32)
    found = run(graph_bytes(feature_graph(whole, taps)), inputs)
    np.testing.assert_allclose(found[TAP], expected(network, LEVELS), rtol=1e-4, atol=1e-5)
    assert check_parity(tmp_path / "v.onnx", taps, graph_bytes(fuse(whole, taps, {"x": _head()})), inputs) <= 1e-5


@pytest.mark.parametrize("side", [8, 12, 15, 16, 17, 48])
def test_any_side_of_the_victim_becomes_the_networks(tmp_path, network, branch, side):
    model = victim(tmp_path / "v.onnx", side=side)
    spec = InputSpec(name="image", shape=(3, side, side), layout="NCHW", scale=1.0)
    whole, taps = attach(model, find_taps(model), {TAP: branch}, spec)
    levels = np.random.default_rng(side).integers(0, 256, (2, side, side, 3)).astype(np.float32)
    found = run(graph_bytes(feature_graph(whole, taps)), np.ascontiguousarray(np.moveaxis(levels, 3, 1)))[TAP]
    np.testing.assert_allclose(found, expected(network, levels), rtol=1e-4, atol=1e-5)


def test_grey_victim_shows_grey_to_its_network(tmp_path, network, branch):
    model = victim(tmp_path / "v.onnx", channels=1)
    spec = InputSpec(name="image", shape=(1, 12, 12), layout="NCHW", scale=1.0)
    whole, taps = attach(model, find_taps(model), {TAP: branch}, spec)
    found = run(graph_bytes(feature_graph(whole, taps)), np.ascontiguousarray(np.moveaxis(LEVELS[..., :1], 3, 1)))[TAP]
    np.testing.assert_allclose(found, expected(network, np.repeat(LEVELS[..., :1], 3, axis=3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("opset", range(13, min(26, onnx.defs.onnx_opset_version()) + 1))
def test_network_of_opset_18_stands_in_a_victim_of_any(tmp_path, network, branch, opset):
    model = victim(tmp_path / "v.onnx", opset=opset)
    whole, taps = attach(model, find_taps(model), {TAP: branch}, _raw())
    onnx.checker.check_model(fuse(whole, taps, {"x": _head()}), full_check=True)
    inputs = np.ascontiguousarray(np.moveaxis(LEVELS, 3, 1))
    found = run(graph_bytes(feature_graph(whole, taps)), inputs)[TAP]
    np.testing.assert_allclose(found, expected(network, LEVELS), rtol=1e-4, atol=1e-5)


def test_operator_that_an_older_opset_has_not_is_named(tmp_path, branch):
    newer = onnx.ModelProto()
    newer.CopyFrom(branch.model)
    newer.opset_import[0].version = 20
    newer.graph.node.append(helper.make_node("Gelu", [branch.output], ["more"]))
    model = victim(tmp_path / "v.onnx", opset=17)
    with pytest.raises(
        GraphError, match=r"the network has Gelu of opset 20, .* opset 17; export the victim with opset_version=20"
    ):
        attach(model, find_taps(model), {TAP: Branch(newer, "more")}, _raw())


def test_network_that_no_head_reads_leaves_nothing_behind(tmp_path, branch):
    model = victim(tmp_path / "v.onnx")
    before = graph_bytes(model)
    whole, taps = attach(model, find_taps(model), {TAP: branch}, _raw())
    assert graph_bytes(model) == before
    heads = {"msp": Msp().fit(None)}
    assert graph_bytes(fuse(whole, taps, heads)) == graph_bytes(fuse(model, find_taps(model), heads))


def test_two_networks_stand_side_by_side(tmp_path, network, branch):
    model = victim(tmp_path / "v.onnx")
    other = onnx.ModelProto()
    other.CopyFrom(branch.model)
    weight = next(i for i in other.graph.initializer if len(i.dims) == 4)
    weight.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(weight), weight.name))
    whole, taps = attach(model, find_taps(model), {"network/a": branch, "network/b": Branch(other, branch.output)}, _raw())
    found = run(graph_bytes(feature_graph(whole, taps)), np.ascontiguousarray(np.moveaxis(LEVELS, 3, 1)))
    np.testing.assert_allclose(found["network/a"], expected(network, LEVELS), rtol=1e-4, atol=1e-5)
    assert np.abs(found["network/b"] - found["network/a"]).max() > 0.01


def test_file_of_a_classifier_gives_what_its_last_layer_reads(tmp_path, network, export_plainly):
    torch.manual_seed(0)
    path = export_plainly(
        nn.Sequential(network, nn.Linear(6, 9)).eval(), tmp_path / "c.onnx", np.zeros((1, 3, 16, 16), np.float32)
    )
    found = read_branch(path)
    model = victim(tmp_path / "v.onnx")
    whole, taps = attach(model, find_taps(model), {TAP: found}, _raw())
    features = run(graph_bytes(feature_graph(whole, taps)), np.ascontiguousarray(np.moveaxis(LEVELS, 3, 1)))[TAP]
    np.testing.assert_allclose(features, expected(network, LEVELS), rtol=1e-4, atol=1e-5)


def test_file_of_another_input_is_refused(tmp_path):
    victim(tmp_path / "grey.onnx", channels=1)
    with pytest.raises(GraphError, match=r"takes images of \(1, 12, 12\); a detector's network takes \(3, side, side\)"):
        read_branch(tmp_path / "grey.onnx")


def test_victim_of_four_channels_is_refused(tmp_path, branch):
    model = victim(tmp_path / "v.onnx", channels=4)
    spec = InputSpec(name="image", shape=(4, 12, 12), layout="NCHW", scale=1.0)
    with pytest.raises(GraphError, match="the victim takes 4 channels"):
        attach(model, find_taps(model), {TAP: branch}, spec)


def _raw() -> InputSpec:
    return InputSpec(name="image", shape=(3, 12, 12), layout="NCHW", scale=1.0)


def _head():
    g = HeadBuilder()
    return g.head(score=g.reduce_max(g.tap(TAP), axis=1))
