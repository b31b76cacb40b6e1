"""timm's models by name, and the stages of one at hand."""

from types import ModuleType

import pytest
import torch
from torch import nn

from evaluation.interop.timm_models import timm_stages
from evaluation.models import Normalise, architecture, build
from guard.errors import ConfigError


@pytest.fixture(scope="module", autouse=True)
def timm() -> ModuleType:
    found: ModuleType = pytest.importorskip("timm", reason="timm is not installed; the interop extra brings it")
    return found


# Channels first, channels last (swin), tokens (vit), and one whose features are activations after a normalisation.
STAGES = {
    "test_resnet": ["act1", "layer1", "layer2", "layer3", "layer4"],
    "convnext_atto": ["stages.0", "stages.1", "stages.2", "stages.3"],
    "swin_tiny_patch4_window7_224": [],
    "test_vit": [],
    "mobilenetv3_small_050": ["bn1", "blocks.0", "blocks.1", "blocks.3", "blocks.5"],
}


@pytest.mark.parametrize("name", STAGES)
def test_stages_are_timms_own_where_channels_come_first(name: str) -> None:
    found = architecture(f"timm/{name}").stages
    assert dict(found) == {f"stage{i}": f"1.{path}" for i, path in enumerate(STAGES[name], 1)}


def test_stages_of_a_model_at_hand_leave_it_as_it_was(timm: ModuleType) -> None:
    model = timm.create_model("test_resnet", num_classes=5).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert list(timm_stages(model).values()) == STAGES["test_resnet"]
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_model_is_named_by_seed_and_normalises_as_timm_says() -> None:
    one, again, other = (build("timm/test_resnet", n_classes=4, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert isinstance(one, nn.Sequential)
    assert isinstance(one[0], Normalise)
    assert one[0].mean.flatten().tolist() == [0.5, 0.5, 0.5]  # not ImageNet's


def test_unknown_model_hears_the_nearest() -> None:
    with pytest.raises(ConfigError, match="timm has no model 'resnet18s'; did you mean 'resnet18"):
        architecture("timm/resnet18s")
