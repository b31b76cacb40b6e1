"""Test images that resemble one another: frames of one track, images of one class where the next thief has other classes.

Each is less than a case of its own. Rates are counted and sides redrawn by groups, or intervals would promise too much.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from guard.types import Bools, Ints


@dataclass(frozen=True, slots=True)
class Groups:
    """Which in images (n,) and which out images (m,) belong together; None: each is a case of its own."""

    inside: Ints | None = None
    outside: Ints | None = None

    def kept(self, outside: Bools) -> "Groups":
        """Return the groups where only these (m,) out images are left."""
        return Groups(self.inside, None if self.outside is None else self.outside[outside])


ALONE = Groups()


def redrawing(n: int, groups: Ints | None) -> Callable[[np.random.Generator], Ints]:
    """Return what draws rows for a bootstrap: n of them, or those of as many whole groups as there are, some several times."""
    if groups is None:
        return lambda rng: rng.integers(n, size=n)
    order = np.argsort(groups, kind="stable")
    _, starts = np.unique(groups[order], return_index=True)
    members = np.split(order, starts[1:])
    return lambda rng: np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
