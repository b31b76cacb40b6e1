"""Relative Mahalanobis: the distance to the nearest class, less the distance to the crowd."""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np

from guard.detectors.base import Detector, FitData
from guard.detectors.head import Head, HeadBuilder
from guard.detectors.mahalanobis import nearest_mean
from guard.errors import ConfigError
from guard.fitting.gaussian import fit_gaussians


@dataclass(frozen=True, slots=True)
class RelativeMahalanobis(Detector):
    """Squared Mahalanobis distance to the nearest class mean, less that to one Gaussian of all in images.

    What all images vary in tells nothing of in and out; this takes it off. Score: no unit. Source: Ren et al. 2021, eq. 3.
    """

    name: ClassVar[str] = "relative-mahalanobis"
    taps: ClassVar[tuple[str, ...]] = ("penultimate",)
    ridge: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.ridge < inf:
            raise ConfigError(f"relative-mahalanobis: ridge is {self.ridge}; it must be finite and greater than 0 (usual: 0.001)")

    def fit(self, data: FitData) -> Head:
        """Estimate class means with their covariance, and one mean with its own; FitError if a class has no image, or
        there are too few for the features."""
        z = data.tap("penultimate")
        classes = fit_gaussians(z, data.labels, n_classes=data.n_classes, ridge=self.ridge)
        crowd = fit_gaussians(z, np.zeros(len(z), np.int64), n_classes=1, ridge=self.ridge)
        g = HeadBuilder()
        return g.head(score=g.sub(nearest_mean(g, classes), nearest_mean(g, crowd)))
