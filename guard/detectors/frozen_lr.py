"""Frozen LR: a logistic regression on the features of a network that was trained on something else and never sees the victim."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from guard.detectors.base import FitData
from guard.detectors.head import Head, HeadBuilder
from guard.detectors.network import IMAGENET, NONE, Network, OwnNetwork
from guard.errors import ConfigError, FitError
from guard.fitting.logistic import choose_strength, fit_logistic


@dataclass(frozen=True, slots=True)
class FrozenLr(OwnNetwork):
    """Log-odds of being out, linear in the last features of a frozen ImageNet network beside the victim.

    Costs that network's compute for each query. The strength of L2 is chosen by cross-validation. Score: natural log-odds, at
    equal priors. Source: Atli et al., table 3, RN{18,34,101,152}*LR; RN101*LR is the paper's choice.
    """

    name: ClassVar[str] = "frozen-lr"
    backbone: str = "resnet101"
    weights: str = IMAGENET
    side: int = 224
    folds: int = 10
    remove_overlap: bool = True

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ConfigError(f"frozen-lr: folds is {self.folds}; it must be at least 2 (the paper's: 10)")
        if self.weights == NONE:
            raise ConfigError("frozen-lr: weights is 'none'; a frozen network needs some, 'imagenet' or a file")
        _ = self.network

    @property
    def network(self) -> Network:
        """The frozen network."""
        return Network(self.backbone, self.side, self.weights)

    def fit(self, data: FitData) -> Head:
        """Choose the strength and fit; FitError without out images, or with fewer of either side than folds."""
        tap = self.network.tap
        inside, outside = data.tap(tap), data.out_features.get(tap)
        if outside is None or not len(outside):
            raise FitError("frozen-lr learns from out images and got none; give --out-pool, or choose energy or msp")
        kept = np.ones(len(inside), np.bool_) if data.overlap is None or not self.remove_overlap else ~data.overlap
        if min(kept.sum(), len(outside)) < self.folds * data.views:
            raise FitError(
                f"{int(kept.sum())} in and {len(outside)} out rows cannot be divided into {self.folds} folds; give more images, "
                "fewer folds, or remove_overlap=false if classes that ImageNet has were left out"
            )
        inside = inside[kept]
        strength = choose_strength(inside, outside, folds=self.folds, views=data.views)
        weights, bias = fit_logistic(inside, outside, strength=strength)
        g = HeadBuilder()
        return g.head(score=g.squeeze(g.add(g.matmul(g.tap(tap), weights[:, None]), np.array([bias])), axis=1))
