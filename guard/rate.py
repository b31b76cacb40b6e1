"""A share with its n and its interval: no rate is shown without them."""

import math
from dataclasses import dataclass

import numpy as np

from guard.types import Bools, Ints

_Z = 1.959964  # two-sided 95 %


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `n`; `low` and `high` bound the true share with 95 % confidence (Wilson 1927).

    Where the n come in groups that resemble one another (crops of one photograph), `n_groups` says how many, and the
    interval is that of the fewer independent cases which they are worth (Korn and Graubard 1998).
    """

    count: int
    n: int
    n_groups: int | None = None
    n_effective: float | None = None

    @classmethod
    def of(cls, flags: Bools, groups: Ints | None = None) -> "Rate":
        """Count what is true among (n,) flags; `groups` (n,) says which of them belong together."""
        count, n = int(flags.sum()), len(flags)
        if groups is None or not n:
            return cls(count, n)
        _, group = np.unique(groups, return_inverse=True)
        sizes = np.bincount(group)
        return cls(count, n, len(sizes), _effective(flags, group, sizes))

    @property
    def value(self) -> float:
        """The share itself; not a number when n is 0."""
        return self.count / self.n if self.n else math.nan

    @property
    def low(self) -> float:
        return self._wilson(-1)

    @property
    def high(self) -> float:
        return self._wilson(+1)

    def _wilson(self, sign: int) -> float:
        if not self.n:
            return 0.0 if sign < 0 else 1.0
        if self.count == (0 if sign < 0 else self.n):
            return float(self.count / self.n)  # exactly the bound, which rounding would miss
        n = self.n if self.n_effective is None else self.n_effective
        share, z2n = self.value, _Z**2 / n
        half = _Z * math.sqrt(share * (1 - share) / n + z2n / (4 * n))
        return (share + z2n / 2 + sign * half) / (1 + z2n)

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] (n={self.n})" if self.n else "- (n=0)"


def _effective(flags: Bools, group: Ints, sizes: Ints) -> float:
    """Return how many independent cases tell as much: share * (1 - share) over the variance between groups, at most n.

    With few groups that variance is itself uncertain; Student's t in place of z accounts for it (first order in 1 / groups).
    """
    n, n_groups = len(flags), len(sizes)
    share = float(flags.mean())
    if n_groups == 1 or share in (0.0, 1.0):
        return float(n_groups)
    excess = np.bincount(group, weights=flags) - share * sizes
    variance = n_groups / (n_groups - 1) * float((excess**2).sum()) / n**2
    widening = 1 + (_Z**2 + 1) / (4 * (n_groups - 1))
    return min(float(n), share * (1 - share) / max(variance, 1e-300)) / widening**2
