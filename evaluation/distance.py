"""How far images lie from what a model was made for: the distance to the nearest class, in features of the model's own."""

import numpy as np

from evaluation.audit_results import DistanceBin
from guard.errors import InvalidInputError
from guard.rate import Rate
from guard.types import Bools, Floats, Ints

_MIN_OF_CLASS = 2
_N_BINS = 5


def distances(inside: Floats, top: Ints, outside: Floats) -> tuple[Floats, Floats]:
    """Return (n,) and (m,) distances to the nearest class mean, in medians of the in images' own.

    `inside` (n, d) and `outside` (m, d) are features, `top` (n,) the in images' classes. Each feature is divided by its deviation
    within classes. An in image is left out of its own class's mean, or it would look nearer than an image that nobody has seen.
    InvalidInputError if no class has two images.
    """
    counts = np.bincount(top)
    known = np.flatnonzero(counts >= _MIN_OF_CLASS)
    if not len(known):
        raise InvalidInputError(f"{len(inside)} in images are no two of any class; give more")
    means = np.stack([inside[top == c].mean(axis=0, dtype=np.float64) for c in known])
    kept = np.isin(top, known)
    own = np.searchsorted(known, top[kept])
    scale = np.maximum((inside[kept] - means[own]).std(axis=0), 1e-6)
    near_in = _gaps(inside[kept] / scale, means / scale)
    rows = np.arange(len(own))
    # Without the image itself its class mean lies further from it by n / (n - 1).
    near_in[rows, own] *= counts[known][own] / (counts[known][own] - 1)
    unit = float(np.median(near_in.min(axis=1)))
    unit = unit if unit > 0 else 1.0
    nearest = _gaps(outside / scale, means / scale).min(axis=1) / unit
    return (near_in.min(axis=1) / unit).astype(np.float32), nearest.astype(np.float32)


def by_distance(distance: Floats, flagged: Bools) -> tuple[DistanceBin, ...]:
    """Return how many are flagged in each fifth of the images (m,), the nearest first; none if there are fewer than five."""
    if len(distance) < _N_BINS:
        return ()
    order = np.argsort(distance, kind="stable")
    return tuple(
        DistanceBin(float(distance[part[0]]), float(distance[part[-1]]), Rate.of(flagged[part]))
        for part in np.array_split(order, _N_BINS)
    )


def _gaps(points: Floats, means: Floats) -> Floats:
    """Return (n, k) root mean square distances."""
    squared = (points**2).sum(axis=1)[:, None] - 2 * points @ means.T + (means**2).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squared, 0) / points.shape[1]))
