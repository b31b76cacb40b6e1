"""Linear: a logistic regression on what every stage of the victim saw, in against out."""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np

from guard.detectors.base import Detector, FitData, stage_names
from guard.detectors.head import Head, HeadBuilder, Value
from guard.errors import ConfigError, FitError
from guard.fitting.logistic import fit_logistic
from guard.types import Floats


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

    def __post_init__(self) -> None:
        if not 0 < self.strength < inf:
            raise ConfigError(f"{self.name}: strength is {self.strength}; it must be finite and greater than 0 (usual: 0.001)")

    def fit(self, data: FitData) -> Head:
        """Fit on standardised features and fold the scaling in; FitError without stages or without out images."""
        return fit_linear(data, self.reads(data), strength=self.strength)

    def reads(self, data: FitData) -> list[str]:
        """Return the taps that are looked at: here every stage."""
        return stage_names(data.features)


def fit_linear(data: FitData, taps: list[str], *, strength: float) -> Head:
    """Return the logistic regression on these taps, side by side, as one affine map."""
    weights, bias = fit_logistic(*side_by_side(data, taps), strength=strength)
    g = HeadBuilder()
    x = read_side_by_side(g, taps)
    return g.head(score=g.squeeze(g.add(g.matmul(x, weights[:, None]), np.array([bias])), axis=1))


def side_by_side(data: FitData, taps: list[str]) -> tuple[Floats, Floats]:
    """Return in and out features of these taps, (n, d) and (m, d); FitError without a tap or without out images."""
    if not taps:
        raise FitError("no stage features; the graph has no stage tap, so choose a detector on logits, such as energy")
    inside = np.concatenate([data.tap(t) for t in taps], axis=1)
    if not any(map(len, data.out_features.values())):
        raise FitError("a linear detector learns from out images and got none; give an out pool, or choose energy or msp")
    return inside, np.concatenate([data.out_features[t] for t in taps], axis=1)


def read_side_by_side(g: HeadBuilder, taps: list[str]) -> Value:
    """Read these taps as one (n, d) value."""
    return g.concat([g.tap(t) for t in taps], axis=1) if len(taps) > 1 else g.tap(taps[0])
