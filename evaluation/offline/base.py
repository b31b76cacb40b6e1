"""Detectors that can be measured and not served: they need what no served graph gives, such as a gradient at the input."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import nn

from guard.types import Floats, Pixels


class OfflineDetector(ABC):
    """Hyper-parameters are the constructor's. Nothing is fitted, and nothing of it can become a head."""

    name: ClassVar[str]
    why: ClassVar[str]  # it cannot be served, for messages

    @abstractmethod
    def scores(self, model: nn.Module, pixels: Pixels) -> Floats:
        """Return (n,) float32, higher = more out, of (n, h, w, 3) uint8; `model` takes (n, 3, h, w) in [0, 1] to logits.

        The model is in eval mode afterwards; its weights, and their gradients, are as they were.
        """
