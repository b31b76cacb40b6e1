"""Labels only: believe the top label of an answer, not its values, and let the attack choose by it too."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evaluation.adversaries.base import Adversary, Lesson
from evaluation.transfer import TransferSet


@dataclass(frozen=True, slots=True)
class LabelsOnly(Adversary):
    """Train on the top label of each answer, which changes to the other probabilities do not touch.

    The attack hears labels too, so behind every policy that keeps the top label this thief asks and learns the same.
    The first of equal entries counts. Source: Atli et al., table 7, as a choice of the adversary's.
    """

    name: ClassVar[str] = "labels-only"

    @property
    def asking(self) -> str:
        return "asks plainly, hears labels"

    def heard(self, asked: TransferSet) -> TransferSet:
        labels = np.eye(asked.n_classes, dtype=np.float32)[asked.answers.argmax(axis=1)]
        said = asked.answers.sum(axis=1, keepdims=True) > 0  # a refused row is zeros, and is no vote for class 0
        return TransferSet(asked.queries, np.where(said, labels, np.float32(0)))

    def prepare(self, stolen: TransferSet) -> Lesson:
        labels = self.heard(stolen).answers
        said = labels.any(axis=1)
        return Lesson(stolen.queries.pixels[said], labels[said])
