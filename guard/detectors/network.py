"""Detectors with a network of their own: it stands beside the victim in the same graph, and what it gives is one more tap."""

from abc import abstractmethod
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

from guard.detectors.base import Detector
from guard.errors import ConfigError

MIN_SIDE, MAX_SIDE = 8, 1024
IMAGENET, NONE = "imagenet", "none"


@dataclass(frozen=True, slots=True)
class Network:
    """Which network, and how it comes by its weights.

    `backbone` is torchvision's name or "efficientnet-lite0", `side` the pixels a side that it is shown. `weights` is "imagenet",
    "none", or a file: a `.onnx` of the whole network, or a state dict of torchvision's. With `epochs` it learns to tell in from
    out, from `seed`, and gives the log-odds of out (n, 1); without, it stays as it is and gives its features (n, d).
    """

    backbone: str
    side: int
    weights: str
    epochs: int = 0
    lr: float = 1e-3
    seed: int = 0
    leaves_out: bool = False  # images of overlapping classes, in training

    def __post_init__(self) -> None:
        if not MIN_SIDE <= self.side <= MAX_SIDE:
            raise ConfigError(f"side is {self.side} pixels; it must be {MIN_SIDE} to {MAX_SIDE} (the paper's: 224)")
        if not self.backbone or not self.weights:
            raise ConfigError("backbone and weights must be given; the paper's are resnet101 and imagenet")

    @property
    def tap(self) -> str:
        """The tap's name. Alike for networks that are alike, and without a path: it becomes a part of the graph."""
        return f"network/{self.backbone}/{sha256(repr(self).encode()).hexdigest()[:12]}"


class OwnNetwork(Detector):
    """A detector that reads a network of its own.

    `remove_overlap` leaves out of fitting the in images whose class public sets have too.
    """

    taps: ClassVar[tuple[str, ...]] = ("network",)
    needs_out: ClassVar[bool] = True
    remove_overlap: bool

    @property
    @abstractmethod
    def network(self) -> Network:
        """The network that must stand in the graph before `fit`; ConfigError if the options do not name one."""
