"""Class means under one shared covariance, and what whitens it: float64 throughout, so that the graph needs float32 only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from guard.errors import FitError
from guard.types import Floats, Ints

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Gaussians:
    """`means` (k, d) by class; `whiten` (d, d) turns Mahalanobis distances of rows into plain ones: |(x - m) whiten|^2."""

    means: Doubles
    whiten: Doubles


def fit_gaussians(features: Floats, labels: Ints, *, n_classes: int, ridge: float) -> Gaussians:
    """Estimate from (n, d) features; `ridge` is added to the diagonal, as a share of the mean variance.

    FitError if a class has no row: its mean would be nobody's.
    """
    z = features.astype(np.float64)
    if missing := sorted(set(range(n_classes)) - set(labels.tolist())):
        raise FitError(
            f"no image of classes {missing} among {len(labels)}; add one of each, or choose a detector without classes"
        )
    means = np.stack([z[labels == c].mean(axis=0) for c in range(n_classes)])
    return Gaussians(means, whitening(z - means[labels], ridge=ridge))


def whitening(centred: Doubles, *, ridge: float) -> Doubles:
    """Return (d, d) that makes the rows' second moments the identity; FitError if nothing varies."""
    covariance = centred.T @ centred / len(centred)
    mean_variance = float(np.diag(covariance).mean())
    if not mean_variance > 0:
        raise FitError(f"none of the {centred.shape[1]} features varies over {len(centred)} images; give different images")
    covariance += ridge * mean_variance * np.eye(len(covariance))
    return np.asarray(np.linalg.inv(np.linalg.cholesky(covariance)).T)
