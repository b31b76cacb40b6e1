"""Mixture: the victim's own kind of image and others, in a share that is set."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evaluation.attacks.base import Attack, Turn
from evaluation.attacks.in_distribution import InDistribution
from evaluation.plugin_options import options_of
from evaluation.transfer import Queries
from guard.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Mixture(Attack):
    """Ask about in and out images, each at most once, so that of the first m queries `share` x m are in, rounded down.

    In are the pool's images of group `inside`, out are all others. The attack ends where the kind that is due is used up: the
    share is kept rather than the budget. Source: the dial between sections 5.2 and 5.4 of Atli et al.; the design is ours.
    """

    name: ClassVar[str] = "mixture"
    needs_groups: ClassVar[bool] = True
    share: float = 0.5
    inside: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ConfigError(f"share {self.share}; it is the share of in images, from 0 to 1")

    @property
    def needs_inside(self) -> bool:
        return True

    @property
    def asking(self) -> str:
        return InDistribution(self.inside).asking if self.share == 1 else f"{self.name} {options_of(self)}"

    def choose(self, turn: Turn) -> Queries:
        # Both orders are the whole attack's, not the turn's: batches of any size walk through the same sequence.
        rng = np.random.default_rng(turn.seed)
        is_in = turn.pool.groups == self.inside
        ins, outs = rng.permutation(np.flatnonzero(is_in)), rng.permutation(np.flatnonzero(~is_in))
        if (self.share > 0 and not len(ins)) or (self.share < 1 and not len(outs)):
            raise ConfigError(
                f"{len(ins)} images of group {self.inside} and {len(outs)} others; share {self.share} needs both kinds"
            )
        ends = np.arange(len(turn.asked), len(turn.asked) + turn.n_next + 1)
        n_in = np.floor(ends * self.share + 1e-9).astype(np.int64)  # 1e-9: 10 x .3 is 3
        n_out = ends - n_in
        n = int(((n_in[1:] <= len(ins)) & (n_out[1:] <= len(outs))).sum())
        due_in = np.diff(n_in)[:n] == 1
        rows = np.empty(n, np.int64)
        rows[due_in] = ins[n_in[0] : n_in[n]]
        rows[~due_in] = outs[n_out[0] : n_out[n]]
        return turn.pool.take(rows)
