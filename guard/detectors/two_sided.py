"""Two-sided: the linear detector, which also sees how far a feature lies from its usual value, whichever way."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from guard.detectors.base import FitData
from guard.detectors.head import Head, HeadBuilder
from guard.detectors.linear import Linear, read_side_by_side, side_by_side
from guard.fitting.logistic import fit_logistic
from guard.types import Floats

_FAR = 10.0  # deviations: beyond it a feature is just far, so that no single one can decide


@dataclass(frozen=True, slots=True)
class TwoSided(Linear):
    """Log-odds of being out, linear in z and in log(1 + z^2), z being each stage feature in deviations of in images.

    Out images surround the in ones: one feature is too small in some and too large in others, and no plane has both on one
    side. Score: natural log-odds, at equal priors. Source: ours; the squares are those of a quadratic discriminant, under a
    logarithm because out features have heavy tails.
    """

    name: ClassVar[str] = "two-sided"

    def fit(self, data: FitData) -> Head:
        """Fit on standardised features and fold the scaling in; FitError without stages or without out images."""
        taps = self.reads(data)
        inside, outside = side_by_side(data, taps)
        mean, deviation = inside.mean(axis=0), inside.std(axis=0)
        scale: Floats = (1 / np.where(deviation > 1e-6 * (np.abs(mean) + 1), deviation, 1)).astype(np.float32)
        weights, bias = fit_logistic(_both(inside, mean, scale), _both(outside, mean, scale), strength=self.strength)
        g = HeadBuilder()
        z = g.mul(g.sub(read_side_by_side(g, taps), mean), scale)
        z = g.maximum(g.minimum(z, np.array(_FAR)), np.array(-_FAR))
        far = g.log(g.add(g.mul(z, z), np.array(1.0)))
        d = len(mean)
        score = g.add(g.matmul(z, weights[:d, None]), g.matmul(far, weights[d:, None]))
        return g.head(score=g.squeeze(g.add(score, np.array([bias])), axis=1))


def _both(features: Floats, mean: Floats, scale: Floats) -> Floats:
    z = np.clip((features - mean) * scale, -_FAR, _FAR)
    return np.concatenate([z, np.log1p(z * z)], axis=1)
