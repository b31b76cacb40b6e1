"""The networks that experiments name and torchvision lacks."""

import pytest
import torch
from torch import nn

from evaluation.models import architecture, build
from evaluation.networks import Lite0

NEW = ("efficientnet-lite0", "gtsrb-5l", "cifar10-9l")


def layers(model: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in model.modules())


def test_lite0_has_the_published_number_of_weights() -> None:
    assert sum(p.numel() for p in Lite0(1000).parameters()) == 4_652_008


@pytest.mark.parametrize(("name", "convolutions", "dense"), [("gtsrb-5l", 3, 2), ("cifar10-9l", 7, 2), ("vgg16", 13, 3)])
def test_layers_are_as_many_as_the_name_says(name: str, convolutions: int, dense: int) -> None:
    with torch.device("meta"):
        model = architecture(name).make(10)
    assert (layers(model, nn.Conv2d), layers(model, nn.Linear)) == (convolutions, dense)


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("side", [32, 48])
def test_stages_are_named_and_shrink(name: str, side: int) -> None:
    model = build(name, n_classes=7, seed=0).eval()
    seen: dict[str, torch.Size] = {}
    for stage, path in architecture(name).stages.items():
        model.get_submodule(path).register_forward_hook(lambda _m, _i, out, stage=stage: seen.__setitem__(stage, out.shape))
    with torch.no_grad():
        assert model(torch.rand(2, 3, side, side)).shape == (2, 7)
    assert list(seen) == [f"stage{i}" for i in range(1, len(seen) + 1)]
    sides = [shape[2] for shape in seen.values()]
    assert sides == sorted(set(sides), reverse=True)
