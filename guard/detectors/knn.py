"""KNN: how far a query lies from the k-th nearest image that the victim's owner has."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from guard.detectors.base import Detector, FitData
from guard.detectors.head import Head, HeadBuilder
from guard.errors import ConfigError, FitError


@dataclass(frozen=True, slots=True)
class Knn(Detector):
    """Distance to the k-th nearest of at most `bank` in images, penultimate features scaled to length 1.

    The bank lies in the graph: bank x d numbers, 4 MB for 2,000 of 512. Which images are kept is drawn with `seed`.
    Score: 0 to 2, no unit. Source: Sun et al. 2022, section 3.
    """

    name: ClassVar[str] = "knn"
    taps: ClassVar[tuple[str, ...]] = ("penultimate",)
    k: int = 10
    bank: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.bank:
            raise ConfigError(f"knn: k is {self.k} and bank {self.bank}; k must be at least 1 and at most bank")
        if self.seed < 0:
            raise ConfigError(f"knn: seed is {self.seed}; it must be 0 or more")

    def fit(self, data: FitData) -> Head:
        """Choose the bank; FitError if there are fewer images than k."""
        z = data.tap("penultimate").astype(np.float64)
        if len(z) < self.k:
            raise FitError(f"knn with k {self.k} needs as many in images, and got {len(z)}; give more, or a smaller k")
        kept = np.sort(np.random.default_rng(self.seed).permutation(len(z))[: self.bank])
        lengths = np.linalg.norm(z[kept], axis=1, keepdims=True)
        bank = z[kept] / np.maximum(lengths, 1e-12)
        g = HeadBuilder()
        x = g.tap("penultimate")
        length = g.sqrt(g.maximum(g.reduce_sum_square(x, axis=1), np.array(1e-12)))
        # Of vectors of length 1, |x - b|^2 = 2 - 2 x b; the nearest has the largest product.
        product = g.matmul(g.div(x, g.unsqueeze(length, axis=1)), bank.T)
        kth = g.kth_smallest(g.neg(product), k=self.k)
        return g.head(score=g.sqrt(g.relu(g.add(g.mul(kth, np.array(2.0)), np.array(2.0)))))
