"""JBDA: few real images, and from each of them new ones along the copy's own gradient."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from evaluation.attacks.base import Attack, Turn
from evaluation.sketch import LEAST_STEPS, Sketch
from evaluation.training import to_inputs
from evaluation.transfer import SYNTHETIC, Queries
from guard.errors import ConfigError
from guard.types import Ints, Pixels

BATCH = 256


@dataclass(frozen=True, slots=True)
class Jbda(Attack):
    """Ask about `n_seeds` images of the pool, then over and over about a step away from everything asked before.

    The step: `levels` grey levels in every value, by the sign of the gradient of a copy's probability of the answered label.
    The copy is trained on what was asked before the doubling (`epochs`), so queries are the same whatever the size of a turn; a
    turn ends where a doubling does. With `in_domain` the seeds are of the pool's group `inside`, the victim's own kind of image:
    Papernot et al. have some; an adversary with none begins with public ones, as here by default. Without the reservoir sampling
    that came later, so the number of queries doubles.
    Source: Papernot et al. 2017 (section 4, Jacobian-based augmentation, lambda .1).
    """

    name: ClassVar[str] = "jbda"
    customary_adversary: ClassVar[str] = "labels-only"
    n_seeds: int = 100
    levels: int = 26
    epochs: int = 10
    in_domain: bool = False
    inside: int = 0

    def __post_init__(self) -> None:
        if self.n_seeds < 2 or not 1 <= self.levels <= 255 or self.epochs < 1:
            raise ConfigError(
                f"n_seeds {self.n_seeds}, levels {self.levels}, epochs {self.epochs}: at least 2, from 1 to 255, at least 1"
            )

    @property
    def needs_inside(self) -> bool:
        return self.in_domain

    def choose(self, turn: Turn) -> Queries:
        may_be = np.flatnonzero(turn.pool.groups == self.inside) if self.in_domain else np.arange(len(turn.pool))
        if not len(may_be):
            raise ConfigError(f"the pool has no image of group {self.inside}; the seeds are to be of it, or leave in_domain out")
        seeds = np.random.default_rng(turn.seed).permutation(may_be)[: self.n_seeds]
        done = len(turn.asked)
        if done < len(seeds):
            return turn.pool.take(seeds[done : done + turn.n_next])
        level = len(seeds)  # how many there were before this doubling
        while 2 * level <= done:
            level *= 2
        before = turn.asked.first(level)
        copy = Sketch(epochs=self.epochs, least_steps=LEAST_STEPS).draw(before, seed=turn.seed)
        parents = slice(done - level, min(done - level + turn.n_next, level))
        pixels, answers = before.queries.pixels[parents], before.answers[parents]
        # Where no answer says anything no direction is better than another.
        directions = turn.rng().choice(np.array([-1, 1], np.int16), size=pixels.shape)
        if copy is not None and (said := answers.sum(axis=1) > 0).any():
            directions[said] = _slopes(copy, pixels[said], answers[said].argmax(axis=1))
        made = np.clip(pixels + self.levels * directions, 0, 255).astype(np.uint8)
        return Queries(made, np.full(len(made), SYNTHETIC, np.int64))


def _slopes(copy: nn.Module, pixels: Pixels, labels: Ints) -> NDArray[np.int16]:
    """Return the signs (n, h, w, 3) of the gradient of each label's probability by each value."""
    signs = []
    for start in range(0, len(pixels), BATCH):
        part = np.ascontiguousarray(pixels[start : start + BATCH])
        x = to_inputs(torch.from_numpy(part)).requires_grad_()
        answered = torch.from_numpy(labels[start : start + BATCH])
        # Of the logarithm: it has the probability's sign, and does not vanish where the copy is sure.
        said = copy(x).log_softmax(dim=1).gather(1, answered[:, None]).sum()
        (slope,) = torch.autograd.grad(said, x)
        signs.append(slope.sign().permute(0, 2, 3, 1).numpy().astype(np.int16))
    return np.concatenate(signs)
