"""Drop suspicious: leave out the answers that a copy of the others finds unlikely."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evaluation.adversaries.base import Adversary, Lesson
from evaluation.adversaries.held_out import held_out
from evaluation.adversaries.soft import Soft
from evaluation.sketch import rows_of
from evaluation.transfer import TransferSet
from guard.errors import ConfigError


@dataclass(frozen=True, slots=True)
class DropSuspicious(Adversary):
    """Train on the answers whose top label is likelier than a guess in the eyes of a copy that was trained on the others.

    Two rough copies, each trained on one half for `epochs`, judge the other half. Believes what is left, values and all.
    Assumes that tampered answers contradict each other while true ones agree: a lie that is told consistently stays.
    Source: Brodley and Friedl 1999 (filtering by cross-validation); the bound of one in k is ours.
    """

    name: ClassVar[str] = "drop-suspicious"
    epochs: int = 10

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ConfigError(f"epochs {self.epochs}; must be at least 1")

    def prepare(self, stolen: TransferSet) -> Lesson:
        stolen = rows_of(stolen, stolen.answers.sum(axis=1) > 0)
        opinions = held_out(stolen, epochs=self.epochs)
        if opinions is None:
            return Soft().prepare(stolen)
        answered = stolen.answers.argmax(axis=1)
        likely = opinions[np.arange(len(stolen)), answered] >= 1 / stolen.n_classes
        return Soft().prepare(rows_of(stolen, likely))
