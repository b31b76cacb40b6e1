"""Reverse sigmoid: noise that is largest where the victim is surest, so that many answers lead to one."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from guard.errors import ConfigError
from guard.policies.base import NearDuplicates, Policy, Rows, Traits
from guard.policies.top_label import hold_top_label
from guard.types import Floats

_EPS = 1e-7  # keeps the logit finite at 0 and 1


@dataclass(frozen=True, slots=True)
class ReverseSigmoid(Policy):
    """Answer y - beta * (sigmoid(gamma * logit(y)) - 1/2), scaled to sum to 1: sure and unsure rows come out alike.

    With gamma < 1 the map is not monotone: tiny probabilities come out near beta / 2, in reverse order. That deceives a
    copier who trains on soft labels, and does nothing against one who takes labels only. Where the formula would cost the
    victim's label its place (many classes, an unsure row), ours lifts it back; what would be negative (large beta) is 0.
    Such answers have a form of their own: let the policy stand on all rows rather than on flagged ones.
    Source: Lee et al. 2018 (arXiv 1806.00054), the reverse sigmoid with its sum-to-one factor; holding the label is ours.
    """

    name: ClassVar[str] = "reverse-sigmoid"
    traits: ClassVar[Traits] = Traits(keeps_top_label=True, l1_budget=2.0, near_duplicates=NearDuplicates.DETERMINISTIC)
    beta: float = 0.7
    gamma: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.beta <= 2:
            raise ConfigError(f"reverse-sigmoid: beta is {self.beta}; it must be above 0 and at most 2 (more clips every answer)")
        if not 0 < self.gamma <= 10:
            raise ConfigError(f"reverse-sigmoid: gamma is {self.gamma}; it must be above 0 and at most 10")

    def answer(self, rows: Rows) -> Floats:
        """Return (n, k) float32; the top label is the victim's own."""
        y = rows.probabilities.astype(np.float64)
        inner = np.clip(y, _EPS, 1.0 - _EPS)
        sigmoid = 1.0 / (1.0 + ((1.0 - inner) / inner) ** self.gamma)  # sigmoid(gamma * logit), the logarithm cancelled
        noisy = np.maximum(y - self.beta * (sigmoid - 0.5), _EPS)
        return hold_top_label(noisy, rows.probabilities)
