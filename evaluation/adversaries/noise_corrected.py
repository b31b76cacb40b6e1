"""Noise-corrected: estimate how many answers are false, and weigh each by how likely it is to be true."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evaluation.adversaries.base import Adversary, Lesson
from evaluation.adversaries.held_out import held_out
from evaluation.adversaries.soft import Soft
from evaluation.sketch import rows_of
from evaluation.transfer import TransferSet
from guard.errors import ConfigError
from guard.types import Bools, Floats, Ints

MAX_FLIPS = 0.9  # beyond it next to nothing is left to learn from


@dataclass(frozen=True, slots=True)
class NoiseCorrected(Adversary):
    """Mix each answer with what copies expect in its place, by the chance that the answer is genuine.

    Assumes that a share f of the answers, the same in each class, has its top label drawn evenly from all k classes, which is
    what a shuffle does, and that a copy is right where it is surest.

    Two rough copies, each trained on one half and judging the other, give f at anchors: of the images put into a class, the
    share `anchors` they are surest of; where the answer is another, it was drawn. Two more copies are trained by forward
    correction with that f, so that theirs are the chances p of the true labels, and f is read off them again. An answer with
    top label j is then genuine with chance (1 - f) p_j / ((1 - f) p_j + f / k), and p stands in for it otherwise: the
    expectation step for the likelihood that forward correction maximises. Copies that err at anchors make f too large.
    Source: Patrini et al. 2017 (transition by anchors, forward correction), with one flip rate as the whole transition matrix,
    and anchors counted instead of averaged, as small copies are not calibrated.
    """

    name: ClassVar[str] = "noise-corrected"
    anchors: float = 0.2
    epochs: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.anchors <= 1 or self.epochs < 1:
            raise ConfigError(f"anchors {self.anchors}, epochs {self.epochs}: above 0 and at most 1, at least 1")

    def prepare(self, stolen: TransferSet) -> Lesson:
        stolen = rows_of(stolen, stolen.answers.sum(axis=1) > 0)
        plain = Soft().prepare(stolen)
        opinions = held_out(stolen, epochs=self.epochs)
        if opinions is None or stolen.n_classes < 2:
            return plain
        answered = stolen.answers.argmax(axis=1)
        flips = flip_rate(opinions, answered, anchors=self.anchors)
        corrected = held_out(stolen, epochs=self.epochs, flips=flips)
        assert corrected is not None  # there were enough answers before
        flips = flip_rate(corrected, answered, anchors=self.anchors)
        genuine = (1 - flips) * corrected[np.arange(len(corrected)), answered]
        trust = (genuine / np.maximum(genuine + flips / stolen.n_classes, 1e-12))[:, None]
        return Lesson(plain.pixels, (trust * plain.targets + (1 - trust) * corrected).astype(np.float32))


def flip_rate(opinions: Floats, answered: Ints, *, anchors: float) -> float:
    """Return the share of answers whose top label was drawn evenly, from 0 to MAX_FLIPS; (n, k) opinions, (n,) top labels."""
    n_classes = opinions.shape[1]
    expected, sure = opinions.argmax(axis=1), opinions.max(axis=1)
    agrees: list[Bools] = []
    for c in np.unique(expected):
        rows = np.flatnonzero(expected == c)
        surest = rows[np.argsort(-sure[rows], kind="stable")][: max(1, round(anchors * len(rows)))]
        agrees.append(answered[surest] == c)
    # An answer drawn evenly agrees by chance once in k.
    drawn = (1 - np.concatenate(agrees).mean()) * n_classes / (n_classes - 1)
    return float(np.clip(drawn, 0, MAX_FLIPS))
