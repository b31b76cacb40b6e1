"""Refuse: a query that the policy stands on gets no answer at all."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from guard.policies.base import NearDuplicates, Policy, Rows, Traits
from guard.types import Floats


@dataclass(frozen=True, slots=True)
class Refuse(Policy):
    """No answer; the gateway fails the whole request with PERMISSION_DENIED.

    The client learns that it was flagged, and can search for images that are not: use it where that is worth less
    than a clean refusal.
    """

    name: ClassVar[str] = "refuse"
    traits: ClassVar[Traits] = Traits(
        keeps_top_label=False, l1_budget=2.0, near_duplicates=NearDuplicates.NO_ANSWER, refuses=True
    )

    def answer(self, rows: Rows) -> Floats:
        """Return uniform rows, which say nothing should one ever get out; the gateway does not send them."""
        n_classes = rows.probabilities.shape[1]
        return np.full_like(rows.probabilities, 1.0 / max(n_classes, 1))
