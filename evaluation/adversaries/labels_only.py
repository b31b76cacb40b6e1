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
        targets = np.eye(stolen.n_classes, dtype=np.float32)[stolen.answers.argmax(axis=1)]
        return Lesson(stolen.queries.pixels, targets)
