"""Victims that the exporters' tests share: a small CNN, a ResNet-18, and what plain `torch.onnx.export` makes of it."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from exporters.fuse import feature_graph
from exporters.graph import graph_bytes
from exporters.runtime import run
from exporters.torch_export import export_victim
from guard.detectors.base import FitData
from guard.detectors.head import Head
from guard.detectors.registry import DETECTORS
from guard.types import Floats

RESNET_SIZE = 64


class SmallCnn(nn.Module):
    """Two stages, a dense layer of 12 features, 5 classes; normalises its own input."""

    def __init__(self) -> None:
        super().__init__()
        self.block1 = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        self.block2 = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(12, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.block2(self.block1((image - 0.5) / 0.25))
        return self.head(x.mean(dim=(2, 3)))


def random_images(n: int, size: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).random((n, 3, size, size), dtype=np.float32)


@pytest.fixture
def small_cnn() -> SmallCnn:
    torch.manual_seed(3)
    return SmallCnn()


@pytest.fixture(scope="session")
def images() -> Floats:
    """Seven images of 16 px."""
    return random_images(7, 16)


@pytest.fixture(scope="session")
def resnet_images() -> Floats:
    """Six images of 64 px."""
    return random_images(6, RESNET_SIZE)


@pytest.fixture(scope="session")
def resnet() -> nn.Module:
    torch.manual_seed(5)
    return torchvision.models.resnet18(weights=None).eval()


@pytest.fixture(scope="session")
def victims(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("victims")


@pytest.fixture(scope="session")
def small_path(victims: Path, images: Floats) -> Path:
    torch.manual_seed(3)
    export_victim(SmallCnn(), victims / "small.onnx", sample=images, stages={"stage1": "block1", "stage2": "block2"})
    return victims / "small.onnx"


@pytest.fixture(scope="session")
def resnet_path(victims: Path, resnet: nn.Module, resnet_images: Floats) -> Path:
    stages = {f"stage{i}": f"layer{i}" for i in range(1, 5)}
    export_victim(resnet, victims / "resnet.onnx", sample=resnet_images, stages=stages)
    return victims / "resnet.onnx"


@pytest.fixture(scope="session")
def plain_resnet_path(victims: Path, resnet: nn.Module, resnet_images: Floats) -> Path:
    """As somebody exports it who knows nothing of us: default options, batch of one, weights in a second file."""
    path = victims / "plain" / "resnet.onnx"
    path.parent.mkdir()
    return plain_export(resnet, path, resnet_images[:1])


@pytest.fixture(scope="session")
def torchscript_resnet_path(victims: Path, resnet: nn.Module, resnet_images: Floats) -> Path:
    """The older exporter's file, which names its tensors otherwise."""
    return plain_export(resnet, victims / "torchscript.onnx", resnet_images[:1], dynamo=False)


def plain_export(module: nn.Module, path: Path, sample: Floats, **options: object) -> Path:
    with warnings.catch_warnings():  # PyTorch's own, about its own deprecations
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.from_numpy(sample),), str(path), **options)
    return path


def fit_heads(model, taps, inputs: Floats) -> Mapping[str, Head]:
    """Linear, energy and msp, fitted on the first half of the images against the second."""
    features = run(graph_bytes(feature_graph(model, taps)), inputs)
    half = len(inputs) // 2
    inside, outside = {k: v[:half] for k, v in features.items()}, {k: v[half:] for k, v in features.items()}
    data = FitData(inside, np.zeros(half, np.int64), taps.n_classes, outside)
    return {name: DETECTORS.get(name)().fit(data) for name in ("linear", "energy", "msp")}


@pytest.fixture(scope="session")
def fitted_heads():
    return fit_heads


@pytest.fixture(scope="session")
def export_plainly():
    return plain_export
