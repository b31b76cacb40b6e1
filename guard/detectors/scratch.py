"""Scratch: a whole network that does nothing but tell in from out, beside the victim."""

from dataclasses import dataclass
from typing import ClassVar

from guard.detectors.base import FitData
from guard.detectors.head import Head, HeadBuilder
from guard.detectors.network import NONE, Network, OwnNetwork
from guard.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Scratch(OwnNetwork):
    """Log-odds of being out, by a network that was trained on in against out images.

    Costs that network's compute for each query, and its training before. Score: natural log-odds. Source: Atli et al., table
    3, RN18 and RN34 (Adam, 0.001 falling to 0.0005, 200 epochs), and with `remove_overlap` RN18* and RN34*.
    """

    name: ClassVar[str] = "scratch"
    backbone: str = "resnet18"
    weights: str = NONE  # or "imagenet", or a file, to start from
    side: int = 224
    epochs: int = 200
    lr: float = 1e-3
    remove_overlap: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or not 0 < self.lr < 1 or self.seed < 0:
            raise ConfigError(
                f"scratch: epochs {self.epochs}, lr {self.lr}, seed {self.seed}: at least 1, between 0 and 1, and 0 or more"
            )
        if self.weights.endswith(".onnx"):
            raise ConfigError("scratch: weights is an .onnx file, which cannot be trained; give a state dict (.pth), or 'none'")
        _ = self.network

    @property
    def network(self) -> Network:
        """The network that is trained."""
        return Network(self.backbone, self.side, self.weights, self.epochs, self.lr, self.seed, self.remove_overlap)

    def fit(self, data: FitData) -> Head:
        """Return the network's answer as a score: it has learned before, from images, what features cannot teach it."""
        data.tap(self.network.tap)
        g = HeadBuilder()
        return g.head(score=g.squeeze(g.tap(self.network.tap), axis=1))
