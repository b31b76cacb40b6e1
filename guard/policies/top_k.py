"""Top k: the few largest probabilities, as commercial prediction APIs answer."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from guard.errors import ConfigError
from guard.policies.base import NearDuplicates, Policy, Rows, Traits
from guard.types import Floats


@dataclass(frozen=True, slots=True)
class TopK(Policy):
    """Keep the k largest values as they are and share what is left evenly among the other classes.

    The kept values stay exact, for users who read confidences, and the row still sums to 1. Source: the answer
    granularity of commercial APIs that Atli et al. discuss beside table 7; sharing out the rest is ours.
    """

    name: ClassVar[str] = "top-k"
    traits: ClassVar[Traits] = Traits(keeps_top_label=True, l1_budget=2.0, near_duplicates=NearDuplicates.DETERMINISTIC)
    k: int = 3

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigError(f"top-k: k is {self.k}; it must be at least 1")

    def answer(self, rows: Rows) -> Floats:
        """Return (n, n_classes) float32; with k >= n_classes the answer is the victim's own."""
        probabilities = rows.probabilities
        answers = probabilities.copy()
        if self.k >= probabilities.shape[1]:
            return answers
        order = (-probabilities).argsort(axis=1, kind="stable")  # of equal ones the first is kept, as argmax would
        rest = np.take_along_axis(probabilities, order[:, self.k :], axis=1)
        # A mean of equal numbers can come out one rounding step above them, and would outrank what was kept.
        share = np.minimum(rest.mean(axis=1), rest[:, 0])
        np.put_along_axis(answers, order[:, self.k :], share[:, None], axis=1)
        return answers
