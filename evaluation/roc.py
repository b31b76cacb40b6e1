"""A detector's ROC: what share of out images it would flag at each share of in images flagged, in few points."""

from typing import TypeAlias

import numpy as np

from guard.errors import InvalidInputError
from guard.types import Floats

Curve: TypeAlias = tuple[tuple[float, float], ...]  # (FPR, TPR), both rising, the last (1, 1); empty where none was measured

MAX_POINTS = 60
LEVELS = (0.001, 0.01, 0.05, 0.1)  # of FPR, at which a curve is also told in words
_TINY = 1e-9  # k / n against a level, both rounded


def roc(inside: Floats, outside: Floats) -> Curve:
    """Return at most 60 points of the curve of two sets of scores, (n,) and (m,), higher = more out.

    Each is what a threshold reaches that lets so many in images be flagged and no more. With many in images the counts are close
    together where they are small, since thresholds are set at a low FPR, and those of `LEVELS` are among them. A score that is no
    number counts as the highest: `Threshold.flags` flags it. InvalidInputError if a side has no score.
    """
    if not (len(inside) and len(outside)):
        raise InvalidInputError(f"{len(inside)} in and {len(outside)} out scores; a curve needs one of each at least")
    ours, theirs = (np.sort(np.where(np.isnan(scores), np.inf, scores)) for scores in (inside, outside))
    points = {(1.0, 1.0)}
    for n_flagged in _counts(len(ours)):
        threshold = ours[-1 - n_flagged]
        points.add((_above(ours, threshold), _above(theirs, threshold)))
    return tuple(sorted(points))


def tpr_at(curve: Curve, fpr: float, *, n_in: int) -> float | None:
    """Return the largest TPR of a curve at this FPR or below; None without a curve, and for less than one of `n_in` images."""
    if fpr * n_in + _TINY < 1:
        return None
    return max((tpr for false, tpr in curve if false <= fpr + _TINY), default=None)


def _counts(n: int) -> list[int]:
    """Return of how many in images the points let a threshold flag: all of 0 to n - 1, or a choice of them."""
    if n < MAX_POINTS:
        return list(range(n))
    levels = [int(level * n + _TINY) for level in LEVELS]
    spread = np.geomspace(1, n - 1, MAX_POINTS - 2 - len(levels)).round().astype(int).tolist()
    return sorted({0, *levels, *spread})


def _above(ordered: Floats, threshold: np.float32) -> float:
    return (len(ordered) - int(np.searchsorted(ordered, threshold, side="right"))) / len(ordered)
