"""ViM: what of a query's features lies outside the space that the in images span, against the evidence for a class."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from guard.detectors.base import Detector, FitData
from guard.detectors.head import Head, HeadBuilder
from guard.errors import ConfigError, FitError
from guard.fitting.gaussian import Doubles

_NO_RESIDUAL = 1e-6  # of a feature vector's length; float32 features are no more exact


@dataclass(frozen=True, slots=True)
class Vim(Detector):
    """alpha |residual| - log sum exp(logits): the virtual logit less the energy of the real ones.

    The residual is what lies outside the `dimensions` principal directions of the in images, about the point where the
    classifier's logits vanish. That point needs the last layer's weights; they are recovered by least squares from features
    to logits, which is exact for a linear layer. alpha makes the mean residual of in images as large as their mean largest logit,
    so it exists only where that is positive. Score: in units of the logits. Source: Wang et al. 2022, section 4.
    """

    name: ClassVar[str] = "vim"
    taps: ClassVar[tuple[str, ...]] = ("penultimate", "logits")
    dimensions: int = 0  # 0: half of the features, as the paper does for small ones

    def __post_init__(self) -> None:
        if self.dimensions < 0:
            raise ConfigError(f"vim: dimensions is {self.dimensions}; it must be 0 (half of the features) or more")

    def fit(self, data: FitData) -> Head:
        """Estimate origin, principal space and alpha; FitError without more features than dimensions, or with few images."""
        z, logits = data.tap("penultimate").astype(np.float64), data.tap("logits").astype(np.float64)
        n, d = z.shape
        kept = self.dimensions or d // 2
        if not 1 <= kept < d:
            raise FitError(f"vim keeps {kept} of {d} features; it must keep at least 1 and fewer than there are")
        if n <= d:
            raise FitError(f"vim needs more in images than the {d} features, and got {n}; give more images")
        design = np.concatenate([z, np.ones((n, 1))], axis=1)
        solution = np.linalg.lstsq(design, logits, rcond=None)[0]
        origin = -np.linalg.pinv(solution[:-1].T) @ solution[-1]
        centred = z - origin
        _, directions = np.linalg.eigh(centred.T @ centred / n)  # rising
        residual_space = directions[:, : d - kept]
        residuals = np.linalg.norm(centred @ residual_space, axis=1)
        alpha = _alpha(logits, residuals, lengths=np.linalg.norm(centred, axis=1))
        g = HeadBuilder()
        outside = g.matmul(g.sub(g.tap("penultimate"), origin), residual_space)
        virtual = g.mul(g.sqrt(g.reduce_sum_square(outside, axis=1)), np.array(alpha))
        return g.head(score=g.sub(virtual, g.reduce_log_sum_exp(g.tap("logits"), axis=1)))


def _alpha(logits: Doubles, residuals: Doubles, *, lengths: Doubles) -> float:
    """Return mean largest logit / mean residual; FitError where either says nothing: both must be positive."""
    largest, residual = float(logits.max(axis=1).mean()), float(residuals.mean())
    if not largest > 0:
        raise FitError(
            f"vim scales residuals to the largest logit, whose mean over in images is {largest:.3g}; it must be positive, so "
            "choose another detector, such as knn or relative-mahalanobis"
        )
    if not residual > _NO_RESIDUAL * float(lengths.mean()):
        raise FitError(
            f"the in images have no residual ({residual:.1e} of a mean length of {lengths.mean():.1e}): their features span "
            "fewer directions than vim keeps, so keep fewer dimensions, or choose another detector"
        )
    return largest / residual
