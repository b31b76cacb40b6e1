"""Observe: everybody gets the victim's own answer; flags are only counted."""

from dataclasses import dataclass
from typing import ClassVar

from guard.policies.base import NearDuplicates, Policy, Rows, Traits
from guard.types import Floats


@dataclass(frozen=True, slots=True)
class Observe(Policy):
    """The victim's answer, unchanged: how a new bundle starts, and no defence."""

    name: ClassVar[str] = "observe"
    traits: ClassVar[Traits] = Traits(
        keeps_top_label=True, l1_budget=0.0, near_duplicates=NearDuplicates.DETERMINISTIC, looks_genuine=True
    )

    def answer(self, rows: Rows) -> Floats:
        """Return a copy, so that nothing downstream can write into the backend's own memory."""
        return rows.probabilities.copy()
