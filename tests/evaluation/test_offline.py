"""ODIN: as pytorch-ood has it, and the contract of what can only be measured."""

import numpy as np
import pytest
import torch
from torch import nn

from evaluation.offline.odin import Odin
from evaluation.offline.registry import OFFLINE
from evaluation.training import to_inputs
from guard.errors import ConfigError

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 12, 12, 3)).astype(np.uint8)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(1)
    features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    model = nn.Sequential(features, nn.Linear(32, 5))
    nn.init.normal_(model[1].weight)
    return model.eval()


@pytest.mark.parametrize("options", [{}, {"temperature": 10.0, "step": 0.05}, {"temperature": 1.0, "step": 0.0}], ids=str)
def test_agrees_with_pytorch_ood(model: nn.Module, options: dict[str, float]) -> None:
    detector = pytest.importorskip("pytorch_ood.detector", reason="pytorch-ood is not installed")
    ours = Odin(**options)
    reference = detector.ODIN(model, eps=ours.step, temperature=ours.temperature)
    theirs = reference.predict(to_inputs(torch.from_numpy(PIXELS))).detach().numpy()
    np.testing.assert_allclose(ours.scores(model, PIXELS), theirs, rtol=1e-4)
    assert theirs.std() > 0


def test_step_moves_the_score_towards_certainty(model: nn.Module) -> None:
    still, moved = (Odin(temperature=1.0, step=step).scores(model, PIXELS) for step in (0.0, 0.02))
    assert (moved < still).all(), "each image is moved towards what it is taken for"


@pytest.mark.parametrize("name", sorted(OFFLINE))
def test_score_is_float32_one_a_row_whatever_the_batch_and_the_model_is_left_alone(name: str, model: nn.Module) -> None:
    detector = OFFLINE.get(name)()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    together = detector.scores(model, PIXELS)
    assert (together.shape, together.dtype) == ((9,), np.float32)
    assert detector.scores(model, PIXELS[:0]).shape == (0,)
    alone = np.concatenate([detector.scores(model.train(), PIXELS[i : i + 1]) for i in range(9)])
    np.testing.assert_allclose(alone, together, rtol=1e-5)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"temperature": float("inf")}, {"step": -0.1}, {"step": 1.0}], ids=str)
def test_bad_options_are_named(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(options))} "):
        Odin(**options)
