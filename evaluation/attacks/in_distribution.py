"""In-distribution: ask as a customer would, about the victim's own kind of image."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evaluation.attacks.base import Attack, Turn
from evaluation.transfer import Queries
from guard.errors import ConfigError


@dataclass(frozen=True, slots=True)
class InDistribution(Attack):
    """Ask about the pool's images of group `inside`, in random order, each of them once.

    A detector of out images has nothing to see here; what is left to the defender is to count. Source: Atli et al., section 5.4.
    """

    name: ClassVar[str] = "in-distribution"
    needs_groups: ClassVar[bool] = True
    inside: int = 0

    @property
    def needs_inside(self) -> bool:
        return True

    def choose(self, turn: Turn) -> Queries:
        ins = np.flatnonzero(turn.pool.groups == self.inside)
        if not len(ins):
            raise ConfigError(f"the pool has no image of group {self.inside}; those of the victim's own kind are to be there")
        n_asked = len(turn.asked)
        order = np.random.default_rng(turn.seed).permutation(ins)
        return turn.pool.take(order[n_asked : n_asked + turn.n_next])
