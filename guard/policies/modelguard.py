"""ModelGuard: within an L1 budget, the answer that is least likely under the victim's own."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from guard.policies.base import NearDuplicates, Rows, Traits
from guard.policies.budgeted import Budgeted
from guard.policies.pouring import Pouring
from guard.policies.top_label import hold_top_label
from guard.types import Floats


@dataclass(frozen=True, slots=True)
class ModelGuard(Budgeted):
    """Take up to `epsilon` / 2 of probability from the likely classes and pour it into the least likely, label on top.

    ModelGuard-W, the variant that needs neither a surrogate nor a memory of earlier queries: minimise sum(y' log y), the
    log-likelihood of the answer y' under the victim's y, over answers within `epsilon` of y in L1 that keep the label.
    The paper hands this linear program to a solver; `guard.policies.pouring` solves it by its shape, to within 1 % of the
    optimum (a test compares it with a solver; at worst .82 % is missing there, in answers that are almost even).
    ModelGuard-S, quantised answers that bound what repeated queries tell, keeps centroids of earlier answers; a policy
    here remembers nothing, so it is left out.
    Such answers have a form of their own: let the policy stand on all rows rather than on flagged ones.
    Source: Tang et al. 2024 (USENIX Security), ModelGuard-W.
    """

    name: ClassVar[str] = "modelguard"
    traits: ClassVar[Traits] = Traits(keeps_top_label=True, l1_budget=2.0, near_duplicates=NearDuplicates.DETERMINISTIC)

    def answer(self, rows: Rows) -> Floats:
        """Return (n, k) float32 within `epsilon` of the victim's answer; the top label is the victim's own."""
        if rows.probabilities.shape[1] < 2:
            return rows.probabilities.copy()
        key = rows.probabilities.copy()
        np.put_along_axis(key, key.argmax(axis=1)[:, None], np.inf, axis=1)  # of equal ones the first is the label
        order = key.argsort(axis=1, kind="stable")
        rising = np.take_along_axis(rows.probabilities, order, axis=1).astype(np.float64)
        altered = np.empty_like(rising)
        np.put_along_axis(altered, order, Pouring(rising, budget=self.epsilon / 2).best(), axis=1)
        return hold_top_label(altered, rows.probabilities)
