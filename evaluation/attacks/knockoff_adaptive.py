"""Knockoff, adaptive: a gradient bandit over the pool's classes learns which of them are worth asking about."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evaluation.attacks.base import Attack, Turn
from evaluation.transfer import Queries
from guard.errors import ConfigError
from guard.types import Array, Floats, Ints


@dataclass(frozen=True, slots=True)
class KnockoffAdaptive(Attack):
    """Ask about classes of the pool as a gradient bandit prefers them, each image once.

    The reward of an answer is the mean of three, each from 0 to 1 by construction, whatever the victim answers:
    certainty, its largest entry less its second; diversity, how much of it exceeds the mean of the `window` answers before;
    loss, its cross entropy against a cheap model that knows only the group, which is the mean of the answers to that group so
    far, mixed with `floor` of the uniform answer so that the logarithm stays finite. So nothing is trained here; the paper's loss
    is against a copy that is, and its bandit walks a tree of classes, where this one has a single level.
    Preferences are computed anew in each turn from all answers. Source: Orekondy et al. 2019 (section 4.1.2).
    """

    name: ClassVar[str] = "knockoff-adaptive"
    needs_groups: ClassVar[bool] = True
    window: int = 256
    floor: float = 0.05
    rate: float = 1.0  # of the bandit, over the number of times that the group was drawn

    def __post_init__(self) -> None:
        if self.window < 1 or not 0 < self.floor <= 1 or not self.rate > 0:
            raise ConfigError(
                f"window {self.window}, floor {self.floor}, rate {self.rate}: at least 1, above 0 and at most 1, above 0"
            )

    def choose(self, turn: Turn) -> Queries:
        assert turn.pool.groups is not None  # `needs_groups`
        arms, arm_of = np.unique(turn.pool.groups, return_inverse=True)
        from_pool = turn.asked.queries.sources >= 0
        drawn = arm_of[turn.asked.queries.sources[from_pool]]
        chances = preferences(drawn, self.rewards(turn.asked.answers[from_pool], drawn), n_arms=len(arms), rate=self.rate)
        rng = turn.rng()
        free = rng.permutation(turn.unasked())
        return turn.pool.take(_draw(free, arm_of[free], chances, n=turn.n_next, rng=rng))

    def rewards(self, answers: Floats, drawn: Ints) -> Array:
        """Return (n,) float64 in [0, 1] for (n, k) answers in order and the arm (n,) of each; an empty answer earns 0."""
        n, k = answers.shape
        total = answers.sum(axis=1, keepdims=True, dtype=np.float64)
        y = np.divide(answers, total, out=np.zeros((n, k)), where=total > 0)
        ordered = np.sort(y, axis=1)
        certainty = ordered[:, -1] - (ordered[:, -2] if k > 1 else 0)
        sums = np.concatenate([np.zeros((1, k)), y.cumsum(axis=0)])
        start = np.maximum(np.arange(n) - self.window, 0)
        recent = (sums[:n] - sums[start]) / np.maximum(np.arange(n) - start, 1)[:, None]
        diversity = np.maximum(y - recent, 0).sum(axis=1)
        expected = (1 - self.floor) * _earlier_means(y, drawn) + self.floor / k
        loss = -(y * np.log(expected)).sum(axis=1) / max(np.log(k / self.floor), 1e-9)
        return np.where(total[:, 0] > 0, (certainty + diversity + loss) / 3, 0.0)


def preferences(drawn: Ints, rewards: Array, *, n_arms: int, rate: float) -> Array:
    """Return the (n_arms,) chances of a gradient bandit that drew these arms and earned these rewards, in order.

    Source: Sutton and Barto, section 2.8, with the mean of earlier rewards as baseline and a step of rate / times drawn.
    """
    preference, times = np.zeros(n_arms), np.zeros(n_arms)
    baseline = 0.0
    for t, (arm, reward) in enumerate(zip(drawn, rewards, strict=True)):
        times[arm] += 1
        gain = rate / times[arm] * (reward - (baseline if t else reward))
        preference -= gain * _softmax(preference)
        preference[arm] += gain
        baseline += (reward - baseline) / (t + 1)
    return _softmax(preference)


def _earlier_means(y: Array, drawn: Ints) -> Array:
    """Return for each row the mean of the rows before it that were to the same arm; the uniform answer where there is none."""
    n, k = y.shape
    means = np.full((n, k), 1 / k)
    for arm in np.unique(drawn):
        rows = np.flatnonzero(drawn == arm)
        means[rows[1:]] = y[rows].cumsum(axis=0)[:-1] / np.arange(1, len(rows))[:, None]
    return means


def _draw(free: Ints, arm_of_free: Ints, chances: Array, *, n: int, rng: np.random.Generator) -> Ints:
    """Draw up to `n` of the free rows: an arm by its chance among those that have any left, then the arm's next row."""
    queues = {arm: list(free[arm_of_free == arm][::-1]) for arm in np.unique(arm_of_free)}
    rows: list[int] = []
    while len(rows) < n and queues:
        arms = np.array(list(queues))
        chance = chances[arms] / chances[arms].sum()
        for arm in rng.choice(arms, size=n - len(rows), p=chance):
            if arm in queues:
                rows.append(queues[arm].pop())
                if not queues[arm]:
                    del queues[arm]
    return np.array(rows, np.int64)


def _softmax(preference: Array) -> Array:
    odds = np.exp(preference - preference.max())
    return np.asarray(odds / odds.sum())
