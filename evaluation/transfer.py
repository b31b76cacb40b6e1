"""Transfer sets: what an adversary has asked, and what came back, in order."""

from dataclasses import dataclass

import numpy as np

from guard.errors import InvalidInputError
from guard.types import Floats, Ints, Pixels

SYNTHETIC = -1  # the source of a query that the attack made itself


@dataclass(frozen=True, slots=True)
class Queries:
    """Images to ask about, (n, h, w, 3) uint8, and where each is from: `sources` (n,) int64, a row of the pool or SYNTHETIC."""

    pixels: Pixels
    sources: Ints

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or self.pixels.dtype != np.uint8 or self.sources.shape != self.pixels.shape[:1]:
            raise InvalidInputError(
                f"queries are {self.pixels.shape} {self.pixels.dtype} with sources {self.sources.shape}; "
                "they must be (n, height, width, 3) uint8 and (n,)"
            )

    def __len__(self) -> int:
        return len(self.sources)

    def first(self, n: int) -> "Queries":
        """Return the first `n` queries; all of them when there are no more."""
        return Queries(self.pixels[:n], self.sources[:n])


@dataclass(frozen=True, slots=True)
class TransferSet:
    """Queries with their `answers` (n, k) float32, row by row. Its first m rows are the transfer set of budget m."""

    queries: Queries
    answers: Floats

    def __post_init__(self) -> None:
        if self.answers.ndim != 2 or len(self.answers) != len(self.queries):
            raise InvalidInputError(f"{len(self.queries)} queries and answers of {self.answers.shape}; they must be (n, k)")
        if not (np.isfinite(self.answers).all() and (self.answers >= 0).all()):
            raise InvalidInputError("some answers are negative or not finite; a transfer set holds probabilities")

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def n_classes(self) -> int:
        return int(self.answers.shape[1])

    def first(self, n: int) -> "TransferSet":
        """Return the transfer set that a budget of `n` would have given; all of it when there is no more."""
        return TransferSet(self.queries.first(n), self.answers[:n])

    def joined(self, queries: Queries, answers: Floats) -> "TransferSet":
        """Return this set with later queries and their answers behind it."""
        pixels = np.concatenate([self.queries.pixels, queries.pixels])
        sources = np.concatenate([self.queries.sources, queries.sources])
        return TransferSet(Queries(pixels, sources), np.concatenate([self.answers, answers]))


def nothing_asked(*, side: tuple[int, int], n_classes: int) -> TransferSet:
    """Return the transfer set that every attack starts from; `side` is (height, width)."""
    queries = Queries(np.empty((0, *side, 3), np.uint8), np.empty(0, np.int64))
    return TransferSet(queries, np.empty((0, n_classes), np.float32))
