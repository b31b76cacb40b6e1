"""Held-out opinions: what a copy that never saw an answer would have expected in its place."""

import numpy as np

from evaluation.sketch import Sketch, expect, rows_of
from evaluation.transfer import TransferSet
from guard.types import Floats

N_FOLDS = 2
N_MOST = 20_000
SEED = 0  # of the folds and the copies' first weights: a lesson is a function of the transfer set


def held_out(stolen: TransferSet, *, epochs: int, least_steps: int = 1, flips: float = 0.0) -> Floats | None:
    """Return (n, k) float32 probabilities, each row by a rough copy that was trained on other answers than that row's.

    Each of the copies learns from at most N_MOST answers, through `flips` (see `Sketch.draw`). None where there are too few
    answers to train on. An opinion on a query that has near-duplicates in the other half is not independent of its own answer.
    """
    fold = np.random.default_rng(SEED).permutation(len(stolen)) % N_FOLDS
    opinions = np.empty_like(stolen.answers)
    for i in range(N_FOLDS):
        sketch = Sketch(epochs=epochs, least_steps=least_steps, n_most=N_MOST)
        copy = sketch.draw(rows_of(stolen, fold != i), seed=SEED, flips=flips)
        if copy is None:
            return None
        if (fold == i).any():
            opinions[fold == i] = expect(copy, stolen.queries.pixels[fold == i])
    return opinions
