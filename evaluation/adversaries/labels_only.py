"""Labels only: believe the order of an answer, not its values."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evaluation.adversaries.base import Adversary, Lesson
from evaluation.transfer import TransferSet


@dataclass(frozen=True, slots=True)
class LabelsOnly(Adversary):
    """Train on the top label of each answer, which changes to the other probabilities do not touch.

    The first of equal entries counts. Source: Atli et al., table 7, as a choice of the adversary's.
    """

    name: ClassVar[str] = "labels-only"

    def prepare(self, stolen: TransferSet) -> Lesson:
        said = stolen.answers.sum(axis=1) > 0  # a refused row is zeros, and is no vote for class 0
        targets = np.eye(stolen.n_classes, dtype=np.float32)[stolen.answers[said].argmax(axis=1)]
        return Lesson(stolen.queries.pixels[said], targets)
