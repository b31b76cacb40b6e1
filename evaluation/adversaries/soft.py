"""Soft: believe every answer as it came."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evaluation.adversaries.base import Adversary, Lesson
from evaluation.transfer import TransferSet


@dataclass(frozen=True, slots=True)
class Soft(Adversary):
    """Train on the whole probability vectors.

    Answers that were cut to the top or rounded are scaled to sum to one. Source: Orekondy et al. 2019; Atli et al.
    """

    name: ClassVar[str] = "soft"

    def prepare(self, stolen: TransferSet) -> Lesson:
        total = stolen.answers.sum(axis=1, keepdims=True)
        said = total[:, 0] > 0  # a vector of zeros tells nothing
        return Lesson(stolen.queries.pixels[said], (stolen.answers[said] / total[said]).astype(np.float32))
