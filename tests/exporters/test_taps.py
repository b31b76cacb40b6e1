"""Taps, found in graphs that we did not write."""

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.vision_transformer import VisionTransformer

from exporters.fuse import feature_graph, fuse
from exporters.graph import graph_bytes, load_graph
from exporters.parity import check_parity
from exporters.runtime import run
from exporters.taps import find_taps
from guard.detectors.msp import Msp
from guard.errors import GraphError

RESNET_STAGES = [(64, 32, 32), (64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)]


def load(path):
    model = load_graph(path)
    return model, find_taps(model)


@pytest.fixture(scope="module", params=["plain_resnet_path", "torchscript_resnet_path"])
def exported(request):
    """(model, taps) of a ResNet-18 from each of PyTorch's exporters."""
    return load(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def plain(plain_resnet_path):
    return load(plain_resnet_path)


def test_resnet_exported_without_our_help_has_all_taps(exported):
    model, taps = exported
    assert taps.n_classes == 1000
    assert taps.probabilities is None
    assert taps.shapes[taps.penultimate][1] == 512
    assert [taps.shapes[t][1:] for t in taps.stages.values()] == RESNET_STAGES
    assert list(taps.stages) == ["stage1", "stage2", "stage3", "stage4", "stage5"]
    producers = {o: n.op_type for n in model.graph.node for o in n.output}
    assert {producers[t] for t in taps.stages.values()} == {"Relu"}


def test_stages_are_what_the_blocks_return(exported, resnet, resnet_images):
    model, taps = exported
    features = run(graph_bytes(feature_graph(model, taps)), resnet_images)
    x = torch.from_numpy(resnet_images)
    with torch.no_grad():
        x = resnet.relu(resnet.bn1(resnet.conv1(x)))
        expected = [x]
        x = resnet.maxpool(x)
        for layer in (resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4):
            x = layer(x)
            expected.append(x)
    for name, activation in zip(taps.stages, expected, strict=True):
        mean = activation.mean((2, 3)).numpy()
        np.testing.assert_allclose(features[name][:, : mean.shape[1]], mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(features["penultimate"], expected[-1].mean((2, 3)).numpy(), rtol=1e-4, atol=1e-5)


def test_stages_that_the_exporter_named_are_taken(resnet_path):
    _, taps = load(resnet_path)
    assert dict(taps.stages) == {f"stage{i}": f"stage{i}" for i in range(1, 5)}
    assert taps.logits == "logits"


def small_convnext() -> nn.Module:
    """Its normalisation runs with channels last, so its graph is full of rank-4 tensors that are no (n, c, h, w)."""
    blocks = [CNBlockConfig(8, 16, 1), CNBlockConfig(16, 24, 1), CNBlockConfig(24, None, 1)]
    return ConvNeXt(blocks, num_classes=10)


OTHERS = [
    pytest.param(
        (torchvision.models.mobilenet_v3_small, [(16, 32), (72, 16), (96, 8), (288, 4), (576, 2)], 1024), marks=pytest.mark.large
    ),
    (torchvision.models.squeezenet1_1, [(64, 31), (128, 15), (256, 7), (1000, 3)], None),
    (small_convnext, [(8, 16), (16, 8), (24, 4)], 24),
]


@pytest.mark.parametrize("case", OTHERS, ids=lambda case: case[0].__name__)
def test_other_networks_have_their_stages(tmp_path, export_plainly, resnet_images, case):
    build, stages, width = case
    torch.manual_seed(0)
    dynamic = ({0: torch.export.Dim("batch")},)
    path = export_plainly(build().eval(), tmp_path / "m.onnx", resnet_images[:2], dynamic_shapes=dynamic)
    model, taps = load(path)
    assert [(taps.shapes[t][1], taps.shapes[t][2]) for t in taps.stages.values()] == stages
    assert (taps.penultimate and taps.shapes[taps.penultimate][1]) == width
    features = run(graph_bytes(feature_graph(model, taps)), resnet_images[:2])
    assert features["stage1"].shape == (2, 2 * stages[0][0])


def small_vit() -> nn.Module:
    return VisionTransformer(image_size=64, patch_size=16, num_layers=4, num_heads=2, hidden_dim=16, mlp_dim=24, num_classes=10)


@pytest.mark.parametrize("dynamo", [True, False])
def test_transformer_has_stages_by_depth(tmp_path, export_plainly, resnet_images, dynamo):
    torch.manual_seed(0)
    vit = small_vit().eval()
    nn.init.normal_(vit.heads.head.weight)
    free = (
        {"dynamic_shapes": ({0: torch.export.Dim("n")},)} if dynamo else {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}}
    )
    path = export_plainly(vit, tmp_path / "m.onnx", resnet_images[:2], dynamo=dynamo, **free)
    model, taps = load(path)
    # The patches, then two of the eight residual sums apart: after each of the four blocks.
    assert [taps.shapes[t][1:] for t in taps.stages.values()] == [(16, 4, 4)] + 4 * [(17, 16)]
    assert taps.shapes[taps.penultimate][1] == 16

    blocks = []
    hooks = [block.register_forward_hook(lambda _m, _i, out: blocks.append(out)) for block in vit.encoder.layers]
    with torch.no_grad():
        expected = vit(torch.from_numpy(resnet_images)).softmax(dim=1).numpy()
    for hook in hooks:
        hook.remove()
    features = run(graph_bytes(feature_graph(model, taps)), resnet_images)
    for stage, tokens in zip(["stage2", "stage3", "stage4", "stage5"], blocks, strict=True):
        pooled = torch.cat([tokens.mean(dim=1), tokens.std(dim=1, correction=0)], dim=1).numpy()
        np.testing.assert_allclose(features[stage], pooled, rtol=1e-3, atol=2e-4)
    heads = {"msp": Msp().fit(None)}
    assert check_parity(path, taps, graph_bytes(fuse(model, taps, heads)), resnet_images) <= 1e-5
    np.testing.assert_allclose(features["probabilities"], expected, atol=1e-5)
    assert expected.std(axis=1).min() > 0.01, "answers that are all alike would agree with anything"


def test_batch_of_one_that_an_exporter_folded_away_is_refused(tmp_path, export_plainly, resnet_images):
    path = export_plainly(small_convnext().eval(), tmp_path / "m.onnx", resnet_images[:1])
    with pytest.raises(GraphError, match="with a dynamic batch dimension"):
        load_graph(path)


class Ending(nn.Module):
    """A network that ends as it is told."""

    def __init__(self, end: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.dense = nn.Linear(6, 4)
        self.end = end

    def forward(self, image):
        return self.end(self.dense(self.conv(image).relu().mean((2, 3))))


@pytest.fixture
def ending(tmp_path, export_plainly, images):
    def make(end: nn.Module):
        torch.manual_seed(0)
        return load(export_plainly(Ending(end).eval(), tmp_path / "m.onnx", images[:1]))

    return make


@pytest.mark.parametrize("end", [nn.Softmax(dim=1), nn.Softmax(dim=-1), nn.LogSoftmax(dim=1)], ids=str)
def test_softmax_at_the_end_gives_logits_as_well(ending, end, images):
    model, taps = ending(end)
    assert (taps.probabilities is None) == isinstance(end, nn.LogSoftmax)
    assert taps.logits is not None
    features = run(graph_bytes(feature_graph(model, taps)), images)
    exponentials = np.exp(features["logits"])
    np.testing.assert_allclose(features["probabilities"], exponentials / exponentials.sum(axis=1, keepdims=True), rtol=1e-5)
    assert not np.allclose(exponentials.sum(axis=1), 1.0)  # not the logarithms of probabilities
    assert features["penultimate"].shape == (7, 6)


def test_scaling_after_the_dense_layer_does_not_hide_it(ending):
    class Scale(nn.Module):
        def forward(self, x):
            return x / 2.5 + 1

    _, taps = ending(Scale())
    assert taps.shapes[taps.penultimate][1] == 6


class TwoOutputs(nn.Module):
    def forward(self, image):
        return image.mean((2, 3)), image.amax((2, 3))


def test_unclear_answer_names_the_outputs(tmp_path, export_plainly, images):
    model = load_graph(export_plainly(TwoOutputs(), tmp_path / "m.onnx", images[:1], output_names=["a", "b"]))
    with pytest.raises(GraphError, match="not clear among the outputs 'a', 'b'; say which is 'logits'"):
        find_taps(model)
    assert find_taps(model, override={"logits": "b"}).logits == "b"


def test_override_replaces_the_stages(plain):
    model, found = plain
    taps = find_taps(model, override={"stage2": found.stages["stage5"], "stage1": found.stages["stage3"]})
    assert dict(taps.stages) == {"stage1": found.stages["stage3"], "stage2": found.stages["stage5"]}
    assert list(taps.stages) == ["stage1", "stage2"]
    assert taps.penultimate == found.penultimate


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"stage1": "relu_44"}, "stage1: the graph computes no float tensor 'relu_44'; did you mean 'relu_4'"),
        ({"stage1": "fc.weight"}, "stage1: the graph computes no float tensor 'fc.weight'"),
        ({"stage1": "/nope"}, r"'/nope'; it could be one of \d\d, such as ('[^']+', ){11}'[^']+'$"),
        ({"penultimate": "/nope"}, r"'/nope'; it could be one of ('[^']+', ){1,2}'linear'$"),
        ({"logit": "linear"}, "no tap is called 'logit'; did you mean 'logits'"),
        ({"stage0": "relu_4"}, "no tap is called 'stage0'"),
        ({"stage1": "linear"}, r"stage1: tensor 'linear' has shape .*; it must be \(n, c, h, w\)"),
        ({"penultimate": "relu_4"}, r"penultimate: tensor 'relu_4' has shape .*; it must be \(n, d\)"),
        ({"logits": "relu_4"}, r"logits: tensor 'relu_4' has shape"),
    ],
)
def test_override_that_does_not_fit_is_refused(plain, override, message):
    with pytest.raises(GraphError, match=message):
        find_taps(plain[0], override=override)


def test_description_has_a_line_for_each_tap(plain):
    _, taps = plain
    lines = taps.describe()
    assert [line.split()[0] for line in lines] == ["logits", "probabilities", "penultimate", *taps.stages]
    assert "64 x 16 x 16" in lines[4]
    assert taps.stages["stage2"] in lines[4]


class Branches(nn.Module):
    """Two branches of one resolution, the second of which also leaves for the next one before they join."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.left = nn.Conv2d(4, 5, 1)
        self.right = nn.Conv2d(4, 6, 1)
        self.down = nn.ModuleList([nn.Conv2d(11, 7, 3, stride=2, padding=1), nn.Conv2d(11, 9, 3, stride=2, padding=1)])
        self.head = nn.Linear(16, 3)

    def forward(self, image):
        x = self.stem(image / 255).relu()
        x = torch.cat([self.left(x).relu(), self.right(x).relu()], dim=1)
        x = torch.cat([down(x).relu() for down in self.down], dim=1)
        return self.head(x.mean((2, 3)))


def test_stage_is_where_branches_have_joined(tmp_path, export_plainly, images):
    _, taps = load(export_plainly(Branches().eval(), tmp_path / "m.onnx", images[:1]))
    assert [taps.shapes[t][1:] for t in taps.stages.values()] == [(11, 16, 16), (16, 8, 8)]


class Shortcuts(nn.Module):
    """Each block, the first too, adds a convolution to a convolution: every learned layer lies in a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.long = nn.ModuleList([nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 3, stride=2, padding=1)])
        self.short = nn.ModuleList([nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 1, stride=2)])
        self.head = nn.Linear(6, 3)

    def forward(self, image):
        for long, short in zip(self.long, self.short, strict=True):
            image = (long(image) + short(image)).relu()
        return self.head(image.mean((2, 3)))


def test_learned_layer_in_a_branch_is_one(tmp_path, export_plainly, images):
    _, taps = load(export_plainly(Shortcuts().eval(), tmp_path / "m.onnx", images[:1]))
    assert [taps.shapes[t][1:] for t in taps.stages.values()] == [(4, 16, 16), (6, 8, 8)]


def test_normalisation_alone_is_no_stage(tmp_path, export_plainly, images):
    torch.manual_seed(0)
    strided = nn.Sequential(
        nn.BatchNorm2d(3, affine=False),
        nn.Conv2d(3, 4, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    _, taps = load(export_plainly(strided.eval(), tmp_path / "m.onnx", images[:1]))
    assert [taps.shapes[t][1:] for t in taps.stages.values()] == [(4, 7, 7)]


def test_network_without_an_image_inside_has_no_stage(tmp_path, export_plainly, images):
    dense = nn.Sequential(nn.Flatten(), nn.Linear(768, 20), nn.ReLU(), nn.Linear(20, 3)).eval()
    _, taps = load(export_plainly(dense, tmp_path / "m.onnx", images[:1]))
    assert dict(taps.stages) == {}
    assert taps.shapes[taps.penultimate][1] == 20
