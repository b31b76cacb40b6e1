"""Mahalanobis: how far a query lies from the nearest class of the victim."""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

from guard.detectors.base import Detector, FitData
from guard.detectors.head import Head, HeadBuilder, Value
from guard.errors import ConfigError
from guard.fitting.gaussian import Gaussians, fit_gaussians


@dataclass(frozen=True, slots=True)
class Mahalanobis(Detector):
    """Squared distance to the nearest class mean under one shared covariance, in the penultimate features.

    Score: >= 0, no unit. Source: Lee et al. 2018, eq. 1 and 2, without input perturbation or a mixture of layers.
    """

    name: ClassVar[str] = "mahalanobis"
    taps: ClassVar[tuple[str, ...]] = ("penultimate",)
    ridge: float = 1e-3  # added to the diagonal, as a share of the mean variance

    def __post_init__(self) -> None:
        if not 0 < self.ridge < inf:
            raise ConfigError(f"mahalanobis: ridge is {self.ridge}; it must be finite and greater than 0 (usual: 0.001)")

    def fit(self, data: FitData) -> Head:
        """Estimate k means and a (d, d) covariance from in images; FitError if a class has none, or d is too many."""
        z = data.tap("penultimate")
        gaussians = fit_gaussians(z, data.labels, n_classes=data.n_classes, ridge=self.ridge)
        g = HeadBuilder()
        return g.head(score=nearest_mean(g, gaussians))


def nearest_mean(g: HeadBuilder, gaussians: Gaussians) -> Value:
    """Write the squared distance (n,) of the penultimate features to the nearest mean.

    |x - m|^2 = |x|^2 - 2 x m + |m|^2 needs (n, k) numbers where the difference would need (n, k, d). Everything is taken
    about the means' centre first, which keeps the cancelling terms small.
    """
    centre = gaussians.means.mean(axis=0)
    x = g.matmul(g.sub(g.tap("penultimate"), centre), gaussians.whiten)
    means = (gaussians.means - centre) @ gaussians.whiten
    to_means = g.add(g.matmul(x, -2.0 * means.T), (means**2).sum(axis=1))
    return g.relu(g.add(g.reduce_min(to_means, axis=1), g.reduce_sum_square(x, axis=1)))
