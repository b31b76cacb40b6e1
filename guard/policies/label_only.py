"""Label only: the victim's best guess and nothing of how sure it is."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from guard.policies.base import NearDuplicates, Policy, Rows, Traits
from guard.types import Floats


@dataclass(frozen=True, slots=True)
class LabelOnly(Policy):
    """1 for the top label, 0 for the others; of equal ones the first.

    Nothing to average: near-duplicates agree wherever the victim does. Source: Atli et al., table 7.
    """

    name: ClassVar[str] = "label-only"
    traits: ClassVar[Traits] = Traits(keeps_top_label=True, l1_budget=2.0, near_duplicates=NearDuplicates.DETERMINISTIC)

    def answer(self, rows: Rows) -> Floats:
        """Return one-hot rows (n, k) float32."""
        answers = np.zeros_like(rows.probabilities)
        np.put_along_axis(answers, rows.probabilities.argmax(axis=1, keepdims=True), 1.0, axis=1)
        return answers
