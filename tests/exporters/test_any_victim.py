"""Victims of every kind that torchvision and the paper have: taps found, heads fused, answers as before. Weights are random."""

import warnings

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from evaluation.models import build
from exporters.fuse import fuse
from exporters.graph import graph_bytes, load_graph
from exporters.parity import PARITY, check_parity
from exporters.runtime import run
from exporters.taps import find_taps

N_CLASSES = 10


def of_torchvision(name: str) -> nn.Module:
    return torchvision.models.get_model(name, weights=None, num_classes=N_CLASSES)


def of_ours(name: str) -> nn.Module:
    return build(name, n_classes=N_CLASSES, seed=0)


def resnet(*widths: int) -> list[tuple[int, int]]:
    return [(64, 32), *zip(widths, (16, 8, 4, 2), strict=True)]


WIDE = resnet(256, 512, 1024, 2048)
# Name: who makes it, pixels a side, (channels, side) of each stage (None: at least four), width of the last layer's input.
VICTIMS = {
    "gtsrb-5l": (of_ours, 32, [(32, 32), (64, 16), (128, 8), (128, 4)], 256),
    "cifar10-9l": (of_ours, 32, [(64, 32), (128, 16), (256, 8), (256, 4)], 512),
    "efficientnet-lite0": (of_ours, 64, None, 1280),
    "resnet34": (of_torchvision, 64, resnet(64, 128, 256, 512), 512),
    "resnet50": (of_torchvision, 64, WIDE, 2048),
    "resnet101": (of_torchvision, 64, WIDE, 2048),
    "resnet152": (of_torchvision, 64, WIDE, 2048),
    "vgg16": (of_torchvision, 64, None, 4096),
    "mobilenet_v3_large": (of_torchvision, 64, None, 1280),
    "efficientnet_b0": (of_torchvision, 64, None, 1280),
    "convnext_tiny": (of_torchvision, 64, None, 768),
    "vit_b_16": (of_torchvision, 224, None, 768),
}
QUICK = ("gtsrb-5l", "cifar10-9l")
cases = pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.large) for n in VICTIMS])


def settled(module: nn.Module, images: torch.Tensor) -> nn.Module:
    """Take each normalisation's statistics from the images, as training would: deep random networks explode without."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the mean over what it has seen
    with torch.no_grad():
        module.train()(images)
    last = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1]
    nn.init.normal_(last.weight, std=2 / last.in_features**0.5)  # answers that differ
    return module.eval()


@cases
def test_victim_has_its_taps_and_fused_it_answers_as_before(tmp_path, fitted_heads, name):
    make, side, stages, width = VICTIMS[name]
    images = np.random.default_rng(1).random((8, 3, side, side), dtype=np.float32)
    images *= np.linspace(0.2, 1, 8, dtype=np.float32)[:, None, None, None]
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.manual_seed(0)
        module = settled(make(name), torch.from_numpy(images))
        path = tmp_path / f"{name}.onnx"
        free = ({0: torch.export.Dim("n")},)
        torch.onnx.export(module, (torch.from_numpy(images[:2]),), path, dynamic_shapes=free, verbose=False)
    model = load_graph(path)
    taps = find_taps(model)
    found_stages = [taps.shapes[t][1:3] for t in taps.stages.values()]
    assert len(found_stages) >= 4 if stages is None else found_stages == stages
    assert taps.shapes[taps.penultimate][1] == width
    fused = graph_bytes(fuse(model, taps, fitted_heads(model, taps, images)))
    assert check_parity(path, taps, fused, images) <= PARITY
    found = run(fused, images)
    with torch.no_grad():
        expected = module(torch.from_numpy(images)).softmax(dim=1).numpy()
    # Against PyTorch, which sums in another order: a hundred random layers make more of that than trained ones.
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-3)
    assert expected.std(axis=0).max() > 1e-3, "answers that are all alike agree with anything"
    assert np.isfinite(found["scores"]).all()
