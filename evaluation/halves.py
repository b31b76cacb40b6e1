"""The two halves of a victim's test images: on one the strongest of several copies is chosen, of the other it is told.

The best of many has luck on the images that it was chosen on, so its recovery there says more than it would on new ones.
"""

import numpy as np

from guard.types import Bools, Ints


def choosing_half(labels: Ints, *, seed: int) -> Bools:
    """Return (n,) which images choose; half of each class (n,), the odd one by chance. The same for every copy of one seed."""
    rng = np.random.default_rng([seed, 2])
    chooses = np.zeros(len(labels), np.bool_)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        chooses[rows[: (len(rows) + int(rng.integers(2))) // 2]] = True
    return chooses
