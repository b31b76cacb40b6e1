"""Intervals of balanced measures, 95 %: test images redrawn within their classes, or whole groups of them redrawn."""

import numpy as np

from guard.types import Bools, Floats, Ints

_DRAWS = 400
_LEVELS = (2.5, 97.5)


def accuracy_interval(hits: Bools | Floats, labels: Ints, *, seed: int, groups: Ints | None = None) -> tuple[float, float]:
    """Return the interval of a balanced accuracy: `hits` (n,) whether each image got its label (n,), or how often it did.

    Images of one of the `groups` (n,) come from one picture or place, and are no independent cases: groups are redrawn then.
    """
    return _interval(_redrawn(_columns(hits), labels, groups, seed=seed)[:, 0])


def recovery_interval(
    copied: Bools | Floats, victim: Bools, labels: Ints, *, seed: int, groups: Ints | None = None
) -> tuple[float, float]:
    """Return the interval of a recovery; copy and victim meet the same redrawn images."""
    return _ratio(_redrawn(_columns(copied, victim), labels, groups, seed=seed))


def net_recovery_interval(
    copied: Bools | Floats, victim: Bools, labels: Ints, *, chance: float, seed: int
) -> tuple[float, float]:
    """Return the interval of a net recovery, drawn as a recovery's is."""
    return _ratio(_redrawn(_columns(copied, victim), labels, None, seed=seed) - chance)


def _ratio(drawn: np.ndarray) -> tuple[float, float]:
    return _interval(drawn[:, 0] / np.maximum(drawn[:, 1], 1e-9))


def _columns(*hits: Bools | Floats) -> np.ndarray:
    return np.stack([np.asarray(h, np.float64) for h in hits], axis=1)


def _redrawn(hits: np.ndarray, labels: Ints, groups: Ints | None, *, seed: int) -> np.ndarray:
    """Return (draws, m) balanced accuracies of (n, m) hits."""
    rng = np.random.default_rng(seed)
    if groups is not None:
        return _groups_redrawn(hits, labels, groups, rng)
    recalls = []
    for label in np.unique(labels):
        rows = hits[labels == label]
        recalls.append(rows[rng.integers(len(rows), size=(_DRAWS, len(rows)))].mean(axis=1))
    return np.asarray(np.mean(recalls, axis=0))


def _groups_redrawn(hits: np.ndarray, labels: Ints, groups: Ints, rng: np.random.Generator) -> np.ndarray:
    """Redraw whole groups; a class that a draw leaves out has no recall in it."""
    (names, group), (classes, label) = (np.unique(x, return_inverse=True) for x in (groups, labels))
    counts = np.zeros((len(names), len(classes)))
    right = np.zeros((len(names), len(classes), hits.shape[1]))
    np.add.at(counts, (group, label), 1)
    np.add.at(right, (group, label), hits)
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=_DRAWS).astype(np.float64)
    drawn = (times @ counts)[..., None]
    recalls = np.tensordot(times, right, axes=1) / np.where(drawn > 0, drawn, np.nan)
    return np.asarray(np.nanmean(recalls, axis=1))


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, _LEVELS)
    return float(low), float(high)
