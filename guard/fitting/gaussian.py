"""Class means under one shared covariance, and what whitens it: float64 throughout, so that the graph needs float32 only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from guard.errors import FitError
from guard.types import Floats, Ints

Doubles = NDArray[np.float64]
_NAMED = 10  # classes that an error names


@dataclass(frozen=True, slots=True)
class Gaussians:
    """`means` (k, d) by class; `whiten` (d, d) turns Mahalanobis distances of rows into plain ones: |(x - m) whiten|^2."""

    means: Doubles
    whiten: Doubles


def fit_gaussians(features: Floats, labels: Ints, *, n_classes: int, ridge: float) -> Gaussians:
    """Estimate from (n, d) features; `ridge` is added to the diagonal, as a share of the mean variance.

    FitError if a class has no row: its mean would be nobody's; or if the rows leave directions in which nothing was seen to
    vary: the distance along those would be the ridge's invention.
    """
    z = features.astype(np.float64)
    n, d = z.shape
    if missing := sorted(set(range(n_classes)) - set(labels.tolist())):
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise FitError(
            f"no image of classes {missing[:_NAMED]}{more} among {n} (without labels, an image's class is the victim's top "
            "label); add images of each, or choose a detector without classes, such as knn"
        )
    if n < d + n_classes:
        raise FitError(
            f"{n} in images do not determine the covariance of {d} features about {n_classes} mean(s); give at least "
            f"{d + n_classes}, or choose a detector that needs fewer, such as knn or energy"
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
