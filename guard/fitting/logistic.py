"""L2 logistic regression, in against out, folded into one affine map of the raw features."""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from guard.types import Floats

_STEPS = 5000
_GRADIENT = 1e-6  # where LBFGS stops; at its default of 1e-4 log-odds are still off by up to a tenth


def fit_logistic(inside: Floats, outside: Floats, *, strength: float) -> tuple[NDArray[np.float64], float]:
    """Return weights (d,) and bias of the log-odds of *out*, both sides weighted alike whatever their counts.

    `inside` (n, d), `outside` (m, d). `strength` multiplies |w|^2 / 2 beside the mean loss, on standardised features, so it
    means the same for any n. Solved by LBFGS (Atli et al., section 4), which is deterministic.
    """
    x = np.concatenate([inside, outside]).astype(np.float64)
    y = np.concatenate([np.zeros(len(inside)), np.ones(len(outside))])
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    # A channel that never moves carries nothing; dividing by 1 leaves it at zero and its weight with it.
    deviation = np.where(deviation > 1e-6 * (np.abs(mean) + 1.0), deviation, 1.0)
    model = LogisticRegression(C=1.0 / (strength * len(x)), class_weight="balanced", max_iter=_STEPS, tol=_GRADIENT)
    model.fit((x - mean) / deviation, y)
    weights = model.coef_[0] / deviation
    return weights, float(model.intercept_[0] - weights @ mean)
