"""Knockoff, adaptive: a gradient bandit over the pool's classes learns which of them are worth asking about."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evaluation.adversaries.held_out import held_out
from evaluation.attacks.base import Attack, Turn
from evaluation.sketch import LEAST_STEPS, rows_of
from evaluation.transfer import Queries, TransferSet
from guard.errors import ConfigError
from guard.types import Array, Floats, Ints


@dataclass(frozen=True, slots=True)
class KnockoffAdaptive(Attack):
    """Ask about classes of the pool as a gradient bandit prefers them, each image once.

    The reward of an answer is the mean of three, each from 0 to 1 by construction, whatever the victim answers:
    certainty, its largest entry less its second; diversity, how much of it exceeds the mean of the `window` answers before;
    loss, its cross entropy against what a copy expects, mixed with `floor` of the uniform answer so that the logarithm stays
    finite. There are two rough copies, each taught one half of all answers so far (`epochs`) and judging the other half, so no
    loss is of an answer that its copy has learnt; nor is it in the paper, where a single copy is taught on from answer to answer.
    A turn asks at most `batch` images, later a 32nd of what was asked before it, and then preferences are computed anew from all
    answers. The paper's bandit walks a tree of classes, where this one has a single level.
    Source: Orekondy et al. 2019 (section 4.1.2).
    """

    name: ClassVar[str] = "knockoff-adaptive"
    needs_groups: ClassVar[bool] = True
    window: int = 256
    floor: float = 0.05
    rate: float = 1.0  # of the bandit, over the number of times that the group was drawn
    batch: int = 64
    epochs: int = 5

    def __post_init__(self) -> None:
        if self.window < 1 or not 0 < self.floor <= 1 or not self.rate > 0:
            raise ConfigError(
                f"window {self.window}, floor {self.floor}, rate {self.rate}: at least 1, above 0 and at most 1, above 0"
            )
        if self.batch < 1 or self.epochs < 1:
            raise ConfigError(f"batch {self.batch}, epochs {self.epochs}; both must be at least 1")

    def choose(self, turn: Turn) -> Queries:
        assert turn.pool.groups is not None  # `needs_groups`
        arms, arm_of = np.unique(turn.pool.groups, return_inverse=True)
        known = rows_of(turn.asked, turn.asked.queries.sources >= 0)
        drawn = arm_of[known.queries.sources]
        chances = preferences(drawn, self.earned(known), n_arms=len(arms), rate=self.rate)
        n = min(turn.n_next, max(self.batch, len(turn.asked) // 32))
        rng = turn.rng()
        free = rng.permutation(turn.unasked())
        return turn.pool.take(_draw(free, arm_of[free], chances, n=n, rng=rng))

    def earned(self, known: TransferSet) -> Array:
        """Return the (n,) rewards of what was asked, in order; while too little is known everything is expected alike."""
        opinions = held_out(known, epochs=self.epochs, least_steps=LEAST_STEPS // 2)  # each of the two
        expected = np.full(known.answers.shape, 1 / known.n_classes) if opinions is None else opinions
        return self.rewards(known.answers, expected)

    def rewards(self, answers: Floats, expected: Array) -> Array:
        """Return (n,) float64 in [0, 1] for (n, k) answers in order and what was expected (n, k); an empty answer earns 0."""
        n, k = answers.shape
        total = answers.sum(axis=1, keepdims=True, dtype=np.float64)
        y = np.divide(answers, total, out=np.zeros((n, k)), where=total > 0)
        ordered = np.sort(y, axis=1)
        certainty = ordered[:, -1] - (ordered[:, -2] if k > 1 else 0)
        sums = np.concatenate([np.zeros((1, k)), y.cumsum(axis=0)])
        start = np.maximum(np.arange(n) - self.window, 0)
        recent = (sums[:n] - sums[start]) / np.maximum(np.arange(n) - start, 1)[:, None]
        diversity = np.maximum(y - recent, 0).sum(axis=1)
        likely = (1 - self.floor) * expected.astype(np.float64) + self.floor / k
        loss = -(y * np.log(likely)).sum(axis=1) / max(np.log(k / self.floor), 1e-9)
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
