"""Knockoff, random: the attack of the paper, which asks about natural images whatever was answered."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evaluation.attacks.base import Attack, Turn
from evaluation.transfer import Queries


@dataclass(frozen=True, slots=True)
class Knockoff(Attack):
    """Ask about the pool's images in random order, each of them once.

    Source: Orekondy et al. 2019 (section 4.1, random strategy); the attack of Atli et al.
    """

    name: ClassVar[str] = "knockoff"

    def choose(self, turn: Turn) -> Queries:
        # The order is the whole attack's, not the turn's: batches of any size walk through one permutation.
        order = np.random.default_rng(turn.seed).permutation(len(turn.pool))
        n_asked = len(turn.asked)
        return turn.pool.take(order[n_asked : n_asked + turn.n_next])
