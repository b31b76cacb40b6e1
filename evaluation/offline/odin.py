"""ODIN: how sure a cooled victim is after the image was moved towards what it takes the image for."""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from evaluation.offline.base import OfflineDetector
from evaluation.training import to_inputs
from guard.errors import ConfigError
from guard.types import Floats, Pixels

_BATCH = 128


@dataclass(frozen=True, slots=True)
class Odin(OfflineDetector):
    """Minus the largest softmax of logits / T, at the image less `step` times the sign of the gradient of the top class' loss.

    `step` is a share of full brightness. Score: -1 to -1/k, no unit. Source: Liang et al. 2018, eq. 1 and 2; a baseline in
    Atli et al., table 4. PyTorch exports no gradient of a convolution to ONNX, so a gateway cannot compute it; and it
    costs two passes forward and one back.
    """

    name: ClassVar[str] = "odin"
    why: ClassVar[str] = "it needs the gradient at the input, which no served graph gives"
    temperature: float = 1000.0
    step: float = 0.0014

    def __post_init__(self) -> None:
        if not 0 < self.temperature < inf or not 0 <= self.step < 1:
            raise ConfigError(
                f"odin: temperature {self.temperature}, step {self.step}: finite and above 0, and at least 0 and below 1 "
                "(the paper's: 1000 and 0.0014)"
            )

    def scores(self, model: nn.Module, pixels: Pixels) -> Floats:
        """Return (n,) float32, as the base says."""
        model.eval()
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        found = np.empty(len(pixels), np.float32)
        for start in range(0, len(pixels), _BATCH):
            images = to_inputs(torch.from_numpy(np.ascontiguousarray(pixels[start : start + _BATCH])).to(device))
            found[start : start + _BATCH] = self._batch(model, images)
        return found

    def _batch(self, model: nn.Module, images: torch.Tensor) -> Floats:
        images.requires_grad_()
        logits = model(images) / self.temperature
        # Each row's own loss: a mean would shrink gradients to what float32 rounds to zero, whose sign is none.
        loss = cross_entropy(logits, logits.argmax(dim=1), reduction="sum")
        (gradient,) = torch.autograd.grad(loss, images)
        with torch.no_grad():
            moved = model(images - self.step * gradient.sign()) / self.temperature
            return np.asarray(-moved.softmax(dim=1).amax(dim=1).cpu().numpy(), np.float32)
