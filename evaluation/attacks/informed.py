"""Informed attacks: those that choose among the pool's images by what a rough copy of the victim expects of them."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import final

from torch import nn

from evaluation.attacks.base import Attack, Turn
from evaluation.sketch import Sketch, expect
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

    The copy is drawn anew in each turn, from the transfer set alone (`epochs` over at most 4,096 answers), and judges
    `n_candidates` random images that were not asked yet: so a turn's cost depends neither on the pool nor on the budget.
    """

    n_candidates: int = 2048
    epochs: int = 5

    def __post_init__(self) -> None:
        if self.n_candidates < 1 or self.epochs < 1:
            raise ConfigError(f"n_candidates {self.n_candidates}, epochs {self.epochs}; both must be at least 1")

    @final
    def choose(self, turn: Turn) -> Queries:
        rows = turn.rng().permutation(turn.unasked())[: max(self.n_candidates, turn.n_next)]
        copy = Sketch(epochs=self.epochs).draw(turn.asked, seed=turn.seed) if len(rows) > turn.n_next else None
        if copy is None:
            return turn.pool.take(rows[: turn.n_next])
        view = View(expect(copy, turn.pool.pixels[rows]), turn.asked, copy)
        return turn.pool.take(rows[self.pick(view, turn.n_next)])

    @abstractmethod
    def pick(self, view: View, n: int) -> Ints:
        """Return `n` different rows of `view.candidates`, which has more. Ties go to the first: the order is random."""
