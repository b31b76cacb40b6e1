"""L2 logistic regression, in against out, folded into one affine map of the raw features."""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from guard.types import Floats, Ints

_STEPS = 5000
_GRADIENT = 1e-6  # where LBFGS stops; at its default of 1e-4 log-odds are still off by up to a tenth
STRENGTHS = (1e0, 1e-1, 1e-2, 1e-3, 1e-4)  # strong to weak, so that each fit starts near the next one's end
_ROUGH = 1e-4  # enough to tell strengths apart

Doubles = NDArray[np.float64]


def fit_logistic(inside: Floats, outside: Floats, *, strength: float) -> tuple[Doubles, float]:
    """Return weights (d,) and bias of the log-odds of *out*, both sides weighted alike whatever their counts.

    `inside` (n, d), `outside` (m, d). `strength` multiplies |w|^2 / 2 beside the mean loss, on standardised features, so it
    means the same for any n. Solved by LBFGS (Atli et al., section 4), which is deterministic.
    """
    z, y, mean, deviation = _standardised(inside, outside)
    model = LogisticRegression(C=1.0 / (strength * len(z)), class_weight="balanced", max_iter=_STEPS, tol=_GRADIENT).fit(z, y)
    weights = model.coef_[0] / deviation
    return weights, float(model.intercept_[0] - weights @ mean)


def choose_strength(inside: Floats, outside: Floats, *, folds: int, views: int = 1) -> float:
    """Return the one of `STRENGTHS` with the smallest balanced loss on held-out folds; of equals the strongest.

    Rows are `views` blocks of the same images, and all of one image fall into one fold: image i into fold i modulo `folds`.
    Each side must have `folds` images at least.
    """
    z, y, _, _ = _standardised(inside, outside)
    fold = np.concatenate([_folds(len(side), folds, views) for side in (inside, outside)])
    losses = np.zeros(len(STRENGTHS))
    for held in range(folds):
        known, asked = fold != held, fold == held
        model = LogisticRegression(class_weight="balanced", max_iter=_STEPS, tol=_ROUGH, warm_start=True)
        for i, strength in enumerate(STRENGTHS):
            model.set_params(C=1.0 / (strength * known.sum())).fit(z[known], y[known])
            losses[i] += _balanced_loss(model.decision_function(z[asked]), y[asked])
    return STRENGTHS[int(losses.argmin())]


def _standardised(inside: Floats, outside: Floats) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """Return rows (n + m, d) of mean 0 and deviation 1, their sides (0 in, 1 out), and what was taken off and divided by."""
    x = np.concatenate([inside, outside]).astype(np.float64)
    y = np.concatenate([np.zeros(len(inside)), np.ones(len(outside))])
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    # A channel that never moves carries nothing; dividing by 1 leaves it at zero and its weight with it.
    deviation = np.where(deviation > 1e-6 * (np.abs(mean) + 1.0), deviation, 1.0)
    return (x - mean) / deviation, y, mean, deviation


def _folds(n_rows: int, folds: int, views: int) -> Ints:
    return np.arange(n_rows) % (n_rows // views) % folds


def _balanced_loss(log_odds: Doubles, y: Doubles) -> float:
    losses = np.logaddexp(0.0, np.where(y == 1, -log_odds, log_odds))
    return float(losses[y == 0].mean() + losses[y == 1].mean()) / 2
