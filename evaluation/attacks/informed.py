"""Informed attacks: those that choose among the pool's images by what a rough copy of the victim expects of them."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import final

from torch import nn

from evaluation.attacks.base import Attack, Turn
from evaluation.sketch import LEAST_STEPS, Sketch, expect
from evaluation.transfer import Queries, TransferSet
from guard.errors import ConfigError
from guard.types import Floats, Ints, Pixels


@dataclass(frozen=True, slots=True)
class View:
    """What an informed attack judges by: the copy's probabilities of the `candidates` (c, k) float32, and what was asked."""

    candidates: Floats
    asked: TransferSet
    copy: nn.Module

    def expect(self, pixels: Pixels) -> Floats:
        """Return the copy's probabilities of other images, (n, k) float32."""
        return expect(self.copy, pixels)


@dataclass(frozen=True, slots=True)
class Informed(Attack):
    """Ask at random in the first turn; from then on train a copy on every answer so far and `pick` by what it expects.

    A turn asks at most `first` images, later a tenth of what was asked before it: whatever the budget, no turn is more than a
    tenth of it, and all copies together cost about eleven times the last. The copy is drawn anew in each turn from the transfer
    set alone, with `epochs` over every answer, and judges all images that were not asked yet; of more than `n_candidates` it
    judges as many, drawn anew in each turn, and never fewer than ten times what is asked.
    """

    first: int = 100
    n_candidates: int = 20_000
    epochs: int = 10

    def __post_init__(self) -> None:
        if self.first < 1 or self.n_candidates < 1 or self.epochs < 1:
            raise ConfigError(
                f"first {self.first}, n_candidates {self.n_candidates}, epochs {self.epochs}; all must be at least 1"
            )

    @final
    def choose(self, turn: Turn) -> Queries:
        n = min(turn.n_next, max(self.first, len(turn.asked) // 10))
        rows = turn.rng().permutation(turn.unasked())[: max(self.n_candidates, 10 * n)]
        sketch = Sketch(epochs=self.epochs, least_steps=LEAST_STEPS)
        copy = sketch.draw(turn.asked, seed=turn.seed) if len(rows) > n else None
        if copy is None:
            return turn.pool.take(rows[:n])
        view = View(expect(copy, turn.pool.pixels[rows]), turn.asked, copy)
        return turn.pool.take(rows[self.pick(view, n)])

    @abstractmethod
    def pick(self, view: View, n: int) -> Ints:
        """Return `n` different rows of `view.candidates`, which has more. Ties go to the first: the order is random."""
