"""ModelGuard: within an L1 budget, the answer that is least likely under the victim's own."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from guard.errors import ConfigError
from guard.policies.base import NearDuplicates, Policy, Rows, Traits
from guard.policies.top_label import hold_top_label
from guard.types import Array, Floats


@dataclass(frozen=True, slots=True)
class ModelGuard(Policy):
    """Lower the ceiling until `epsilon` / 2 of probability comes free; fill the least likely classes up to it.

    ModelGuard-W, the variant that needs neither a surrogate nor a memory of earlier queries: minimise sum(y' log y), the
    log-likelihood of the answer y' under the victim's y, over answers within `epsilon` of y in L1 that keep the label.
    The paper hands this linear program to a solver. Ours is a closed form: its solution wherever taking from the top costs
    least, as in rows whose least likely classes are all next to impossible (below 1e-6); elsewhere taking from the second
    class can be a little better, and a test bounds the gap against a solver.
    ModelGuard-S, quantised answers that bound what repeated queries tell, keeps centroids of earlier answers; a policy
    here remembers nothing, so it is left out.
    Such answers have a form of their own: let the policy stand on all rows rather than on flagged ones.
    Source: Tang et al. 2024 (USENIX Security), ModelGuard-W.
    """

    name: ClassVar[str] = "modelguard"
    traits: ClassVar[Traits] = Traits(keeps_top_label=True, l1_budget=2.0, near_duplicates=NearDuplicates.DETERMINISTIC)
    epsilon: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.epsilon <= 2:
            raise ConfigError(f"modelguard: epsilon is {self.epsilon}; it must be above 0 and at most 2, an L1 distance")

    @property
    def l1_budget(self) -> float:
        return self.epsilon

    def answer(self, rows: Rows) -> Floats:
        """Return (n, k) float32 within `epsilon` of the victim's answer; the top label is the victim's own."""
        y = rows.probabilities.astype(np.float64)
        order = y.argsort(axis=1, kind="stable")
        rising = np.take_along_axis(y, order, axis=1)
        ceiling = self._ceiling(rising)
        lowered = np.minimum(rising, ceiling)
        room = ceiling - lowered
        free = (rising - lowered).sum(axis=1, keepdims=True)
        room_before = room.cumsum(axis=1) - room
        filled = lowered + np.clip(free - room_before, 0.0, room)
        altered = np.empty_like(y)
        np.put_along_axis(altered, order, filled, axis=1)
        return hold_top_label(altered, rows.probabilities)

    def _ceiling(self, rising: Array) -> Array:
        """Return the (n, 1) level at which what lies above it is `epsilon` / 2; no level is below 1/k, where all are equal."""
        falling = rising[:, ::-1]
        n_above = np.arange(1, rising.shape[1] + 1)
        # If exactly the m largest lie above, the level is their sum less the budget, over m: the greatest of these is the one.
        levels = (falling.cumsum(axis=1) - self.epsilon / 2) / n_above
        return np.asarray(np.maximum(levels.max(axis=1, keepdims=True, initial=0.0), 1 / max(rising.shape[1], 1)))
