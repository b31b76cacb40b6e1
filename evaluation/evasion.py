"""Evasion: a search without gradients for a small change that brings a detector's score down.

It reads the score, which no client of a gateway ever sees: not even whether it was flagged. So what it reaches is an upper bound
on what an adversary could, who has to search on a detector of his own and hope that the change carries over.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from guard.errors import ConfigError
from guard.types import Floats, Pixels

Scores = Callable[[Pixels], Floats]  # (n, h, w, 3) uint8 -> (n,) float32, higher = more out


@dataclass(frozen=True, slots=True)
class SquareSearch:
    """At each step one square of each image moves by `step` grey levels up or down a channel; kept if the score falls.

    No pixel ever lies more than `step` from where it began. Squares shrink evenly from `largest` of the side to one pixel.
    Source: after Andriushchenko et al. 2020 (Square Attack, l-infinity), with the detector's score as loss.
    """

    n_steps: int = 200
    step: int = 8
    largest: float = 0.5

    def __post_init__(self) -> None:
        if self.n_steps < 1 or not 1 <= self.step <= 255 or not 0 < self.largest <= 1:
            raise ConfigError(
                f"n_steps {self.n_steps}, step {self.step}, largest {self.largest}: at least 1, 1 to 255, above 0 and at most 1"
            )

    def run(self, images: Pixels, scores: Scores, *, seed: int) -> Pixels:
        """Return (n, h, w, 3) uint8 images that score at most what the originals do; n_steps + 1 scores an image are read."""
        rng = np.random.default_rng(seed)
        start = images.astype(np.int16)
        offsets = self.step * rng.choice([-1, 1], size=(len(images), 1, images.shape[2], 3)).astype(np.int16)  # stripes
        striped = np.clip(start + offsets, 0, 255)
        best, lowest = start.copy(), scores(images)
        self._keep(best, lowest, striped, scores)
        for done in range(self.n_steps - 1):
            tried = self._moved(best, start, rng, side=self._side(done, images.shape[1]))
            self._keep(best, lowest, tried, scores)
        return best.astype(np.uint8)

    def _keep(self, best: np.ndarray, lowest: Floats, tried: np.ndarray, scores: Scores) -> None:
        found = scores(tried.astype(np.uint8))
        better = found < lowest
        best[better], lowest[better] = tried[better], found[better]

    def _side(self, done: int, height: int) -> int:
        left = 1 - done / self.n_steps
        return max(1, round(height * self.largest * left))

    def _moved(self, best: np.ndarray, start: np.ndarray, rng: np.random.Generator, *, side: int) -> np.ndarray:
        tried = best.copy()
        n, height, width = tried.shape[:3]
        places = zip(rng.integers(0, height - side + 1, n), rng.integers(0, width - side + 1, n), strict=True)
        signs = self.step * rng.choice([-1, 1], size=(n, 1, 1, 3))
        for row, (top, left) in enumerate(places):
            window = (row, slice(top, top + side), slice(left, left + side))
            tried[window] = start[window] + signs[row]
        return np.asarray(np.clip(tried, 0, 255))
