"""What an attack is measured by. Plain numpy; every argument of n rows, every result a float.

A class that has no image in the sample has no recall, so it is left out of a balanced accuracy rather than counted as zero.
"""

from collections.abc import Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from guard.errors import InvalidInputError
from guard.types import Bools, Floats, Ints


def accuracy(logits: Floats, labels: Ints) -> float:
    """Return the share of (n, k) rows whose largest entry is at the label; probabilities do as well as logits."""
    return float(hits(logits, labels).mean())


def hits(logits: Floats, labels: Ints) -> Bools:
    """Return (n,) whether each row's largest entry is at its label."""
    return np.asarray(_top(logits, labels) == labels)


def balanced_accuracy(logits: Floats, labels: Ints) -> float:
    """Return the mean over classes of the share of that class's rows which got their label: chance is 1 / k for any mixture."""
    return float(np.mean(list(recalls(logits, labels).values())))


def recalls(logits: Floats, labels: Ints) -> dict[int, float]:
    """Return class -> share of its rows that got it as top label, for the classes that occur."""
    right = hits(logits, labels)
    return {int(c): float(right[labels == c].mean()) for c in np.unique(labels)}


def by_class(logits: Floats, labels: Ints) -> tuple[float | None, ...]:
    """Return the recall of each of the k classes of (n, k) rows, None where there is no image of it."""
    found = recalls(logits, labels)
    return tuple(found.get(c) for c in range(logits.shape[1]))


def mean_by_class(copies: Sequence[tuple[float | None, ...]]) -> tuple[float | None, ...]:
    """Return the mean of several models' recalls on the same images, class by class."""
    return tuple(None if None in of_it else fmean(r for r in of_it if r is not None) for of_it in zip(*copies, strict=True))


def answer_counts(answers: Floats) -> tuple[int, ...]:
    """Return how many of (n, k) answers have each class as top label; a refused row, all zero, has none."""
    told = answers[answers.sum(axis=1) > 0]
    return tuple(np.bincount(told.argmax(axis=1), minlength=answers.shape[1]).tolist())


def fidelity(surrogate: Floats, victim: Floats) -> float:
    """Return the share of rows on which two models, each (n, k), have the same top label. The victim is the undefended one."""
    if surrogate.shape != victim.shape or not len(victim):
        raise InvalidInputError(
            f"answers of {surrogate.shape} and {victim.shape} cannot be compared; give the same images to both"
        )
    return float((surrogate.argmax(axis=1) == victim.argmax(axis=1)).mean())


def recovery(surrogate: float, victim: float) -> float:
    """Return how much of the victim's accuracy the copy has; printed as `0.75x` (Atli et al., table 2)."""
    if victim <= 0:
        raise InvalidInputError(f"the victim's accuracy is {victim}; a recovery needs one above 0")
    return surrogate / victim


def net_recovery(surrogate: float, victim: float, *, chance: float) -> float:
    """Return the recovery after chance is taken from both: 0 for a copy that guesses, negative for one that misleads."""
    if victim <= chance:
        raise InvalidInputError(
            f"the victim's accuracy {victim:.3f} is not above chance {chance:.3f}; there is nothing to recover"
        )
    return (surrogate - chance) / (victim - chance)


def auroc(inside: Floats, outside: Floats) -> float:
    """Return the chance that an out image scores above an in image, ties counted half (Mann and Whitney 1947)."""
    if not (len(inside) and len(outside)):
        raise InvalidInputError(f"{len(inside)} in and {len(outside)} out scores; an AUROC needs one of each at least")
    ordered = np.sort(inside)
    below = np.searchsorted(ordered, outside, side="left")
    up_to = np.searchsorted(ordered, outside, side="right")
    return float((below + up_to).sum(dtype=np.float64) / (2 * len(inside) * len(outside)))


def _top(logits: Floats, labels: Ints) -> NDArray[np.intp]:
    if logits.ndim != 2 or logits.shape[:1] != labels.shape or not len(labels):
        raise InvalidInputError(
            f"answers of {logits.shape} do not fit labels of {labels.shape}; give (n, k) and (n,), n at least 1"
        )
    return np.asarray(logits.argmax(axis=1))
