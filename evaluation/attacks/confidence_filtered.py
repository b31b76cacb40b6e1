"""Confidence-filtered: leave out what the victim would be unsure of."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evaluation.attacks.informed import Informed, View
from guard.errors import ConfigError
from guard.types import Ints


@dataclass(frozen=True, slots=True)
class ConfidenceFiltered(Informed):
    """Ask at random among the share `kept` of images whose expected answer is surest.

    How sure: the largest of a rough copy's probabilities, the copy trained on the answers so far.
    Source: Atli et al., section 5.3, as a conjecture of what a realistic adversary does; they would drop answers that came back
    unsure, and this attack does not spend the queries.
    """

    name: ClassVar[str] = "confidence-filtered"
    kept: float = 0.5

    def __post_init__(self) -> None:
        # Not super(): a dataclass with slots is made anew, and the bare form would look for the class that it replaced.
        Informed.__post_init__(self)
        if not 0 < self.kept <= 1:
            raise ConfigError(f"kept {self.kept}; it is a share, above 0 and at most 1")

    def pick(self, view: View, n: int) -> Ints:
        n_kept = max(n, round(self.kept * len(view.candidates)))
        surest = np.argsort(-view.candidates.max(axis=1), kind="stable")[:n_kept]
        return np.sort(surest)[:n]  # candidates come in random order
