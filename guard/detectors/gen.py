"""GEN: a generalised entropy of the most likely classes."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from guard.detectors.base import Detector, FitData
from guard.detectors.head import Head, HeadBuilder
from guard.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Gen(Detector):
    """Sum over the `top` largest probabilities of p^gamma (1 - p)^gamma.

    Score: >= 0, no unit; nothing is fitted. With fewer classes than `top` all count. Source: Liu et al. 2023, eq. 3 and 4.
    """

    name: ClassVar[str] = "gen"
    taps: ClassVar[tuple[str, ...]] = ("probabilities",)
    gamma: float = 0.1
    top: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.gamma < 1:
            raise ConfigError(f"gen: gamma is {self.gamma}; it must lie between 0 and 1, both excluded (the paper's: 0.1)")
        if self.top < 1:
            raise ConfigError(f"gen: top is {self.top}; it must be at least 1 (the paper's: 100)")

    def fit(self, data: FitData) -> Head:
        """Return the formula as a head; only the number of classes is looked at."""
        g = HeadBuilder()
        p = g.tap("probabilities")
        if self.top < data.n_classes:
            p = g.top_k(p, k=self.top)
        # A power of a negative rounding error is not a number.
        product = g.relu(g.mul(p, g.sub(np.array(1.0), p)))
        return g.head(score=g.reduce_sum(g.pow(product, np.array(self.gamma)), axis=1))
