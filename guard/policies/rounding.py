"""Rounding: probabilities with few decimals."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from guard.errors import ConfigError
from guard.policies.base import NearDuplicates, Policy, Rows, Traits
from guard.types import Floats


@dataclass(frozen=True, slots=True)
class Rounding(Policy):
    """Round to `decimals` by largest remainders, so that rows still sum to 1.

    Plain rounding would lose or invent mass: a hundred classes at .004 each would all become 0. The top label stays: no other
    class is read before it, at the price of one more unit at most. Source: Tramer et al. 2016, section 7; largest remainders are
    ours.
    """

    name: ClassVar[str] = "rounding"
    traits: ClassVar[Traits] = Traits(keeps_top_label=True, l1_budget=2.0, near_duplicates=NearDuplicates.DETERMINISTIC)
    decimals: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.decimals <= 6:
            raise ConfigError(f"rounding: decimals is {self.decimals}; it must be 1 to 6 (float32 holds no more)")

    def answer(self, rows: Rows) -> Floats:
        """Return (n, k) float32 multiples of 10^-decimals."""
        units = 10**self.decimals
        scaled = rows.probabilities.astype(np.float64)
        scaled *= units / np.maximum(scaled.sum(axis=1, keepdims=True), 1e-12)
        whole = np.floor(scaled)
        missing = np.rint(units - whole.sum(axis=1)).astype(np.intp)
        # Rank by remainder, ties by the value itself, so that the top label never falls behind an equal.
        order = np.lexsort((-scaled, whole - scaled), axis=1)
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.broadcast_to(np.arange(order.shape[1]), order.shape), axis=1)
        whole += rank < missing[:, None]
        return np.asarray(self._keep_top(whole, scaled) / units, dtype=np.float32)

    @staticmethod
    def _keep_top(whole: np.ndarray, scaled: np.ndarray) -> np.ndarray:
        """Exchange the top label's count with one rounded past it; one unit parts it from an equal that is read first."""
        rows, top = np.arange(len(whole)), scaled.argmax(axis=1)
        best = whole.argmax(axis=1)
        whole[rows, top], whole[rows, best] = whole[rows, best], whole[rows, top]
        equal = whole.argmax(axis=1)
        behind = (equal != top).astype(whole.dtype)
        whole[rows, equal] -= behind
        whole[rows, top] += behind
        return whole
