"""Linear: a logistic regression on what every stage of the victim saw, in against out."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from guard.detectors.base import Detector, FitData, stage_names
from guard.detectors.head import Head, HeadBuilder
from guard.errors import FitError
from guard.fitting.logistic import fit_logistic


@dataclass(frozen=True, slots=True)
class Linear(Detector):
    """Log-odds of being out, linear in the mean and deviation of each channel of each stage.

    Score: natural log-odds, at equal priors. Source: ours, after the frozen-network detector of Atli et al. (RN*LR), which
    needs a network of its own; the victim's own stages cost a few percent of one.
    """

    name: ClassVar[str] = "linear"
    taps: ClassVar[tuple[str, ...]] = ("stages",)
    needs_out: ClassVar[bool] = True
    strength: float = 1e-3  # L2, as a share of the mean loss

    def fit(self, data: FitData) -> Head:
        """Standardise by the pooled mean and deviation, fit, and fold both into one affine map; FitError without out images."""
        stages = stage_names(data.features)
        if not stages:
            raise FitError("no stage features; the graph has no stage tap, so choose a detector on logits, such as energy")
        n_out = len(data.out_features[stages[0]]) if stages[0] in data.out_features else 0
        if n_out == 0:
            raise FitError("the linear detector learns from out images and got none; give --out-pool, or choose energy or msp")
        inside = np.concatenate([data.features[s] for s in stages], axis=1)
        outside = np.concatenate([data.out_features[s] for s in stages], axis=1)
        weights, bias = fit_logistic(inside, outside, strength=self.strength)
        g = HeadBuilder()
        x = g.concat([g.tap(s) for s in stages], axis=1) if len(stages) > 1 else g.tap(stages[0])
        return g.head(score=g.squeeze(g.add(g.matmul(x, weights[:, None]), np.array([bias])), axis=1))
