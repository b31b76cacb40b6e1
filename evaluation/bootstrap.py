"""Intervals of balanced measures: test images redrawn within their classes, as balanced accuracies weigh them."""

import numpy as np

from guard.types import Bools, Ints

_DRAWS = 400
_LEVELS = (2.5, 97.5)


def accuracy_interval(hits: Bools, labels: Ints, *, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of a balanced accuracy: `hits` (n,) whether each image got its label (n,)."""
    return _interval(_redrawn(hits.astype(np.float64)[:, None], labels, seed=seed)[:, 0])


def recovery_interval(copied: Bools, victim: Bools, labels: Ints, *, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of a recovery; copy and victim meet the same redrawn images."""
    drawn = _redrawn(np.stack([copied, victim], axis=1).astype(np.float64), labels, seed=seed)
    return _interval(drawn[:, 0] / np.maximum(drawn[:, 1], 1e-9))


def _redrawn(hits: np.ndarray, labels: Ints, *, seed: int) -> np.ndarray:
    """Return (draws, m) balanced accuracies of (n, m) hits."""
    rng = np.random.default_rng(seed)
    recalls = []
    for label in np.unique(labels):
        rows = hits[labels == label]
        recalls.append(rows[rng.integers(len(rows), size=(_DRAWS, len(rows)))].mean(axis=1))
    return np.asarray(np.mean(recalls, axis=0))


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, _LEVELS)
    return float(low), float(high)
