"""Hold the top label: what perturbing policies share, so that the label a client reads is the victim's own."""

import numpy as np

from guard.types import Array, Floats

_VICTIMS_SHARE = 1e-3


def hold_top_label(altered: Array, probabilities: Floats) -> Floats:
    """Return `altered` (n, k), rows of at least 0, as float32 rows that sum to 1 with the victim's top label on top.

    A label that was overtaken is lifted to the row's largest value. Then a thousandth of the victim's own answer is mixed
    in, so that the label stands alone at the top wherever it did before: a client who takes the first of equals reads it.
    Mixing brings an answer nearer to the victim's, so it keeps an L1 budget; lifting need not.
    """
    held = altered.astype(np.float64)
    top = probabilities.argmax(axis=1)[:, None]
    np.put_along_axis(held, top, held.max(axis=1, keepdims=True, initial=0.0), axis=1)
    held *= (1.0 - _VICTIMS_SHARE) / held.sum(axis=1, keepdims=True)
    held += _VICTIMS_SHARE * probabilities
    return held.astype(np.float32)
