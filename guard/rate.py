"""A share with its n and its interval: no rate is shown without them."""

import math
from dataclasses import dataclass

from guard.types import Bools

_Z = 1.959964  # two-sided 95 %


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `n`; `low` and `high` bound the true share with 95 % confidence (Wilson 1927)."""

    count: int
    n: int

    @classmethod
    def of(cls, flags: Bools) -> "Rate":
        """Count what is true."""
        return cls(int(flags.sum()), len(flags))

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
        share, z2n = self.value, _Z**2 / self.n
        half = _Z * math.sqrt(share * (1 - share) / self.n + z2n / (4 * self.n))
        return (share + z2n / 2 + sign * half) / (1 + z2n)

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] (n={self.n})" if self.n else "- (n=0)"
