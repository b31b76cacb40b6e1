"""MAD-argmax: the answer that turns a copier's gradient furthest, within a budget and with the label kept."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from guard.errors import ConfigError
from guard.policies.base import NearDuplicates, Policy, Rows, Traits
from guard.policies.top_label import hold_top_label
from guard.types import Array, Floats


@dataclass(frozen=True, slots=True)
class MadArgmax(Policy):
    """Move each answer by at most `epsilon` in L1 so that the angle between y - 1/k and the answer less 1/k is greatest.

    The paper maximises the angle between G'y and G'y', the gradients that a surrogate would take from the true and from the
    altered answer, with G the Jacobian of a surrogate's log-probabilities at the query. A gateway has no surrogate. One that is
    untrained answers about 1/k everywhere; then G'y = J'(y - 1/k), J the Jacobian of its k logits. A random J with many
    more columns than k keeps angles (JJ' tends to a multiple of the identity), and for the last layer alone this is exact.
    So the angle is taken between the answers themselves, and neither gradient nor randomness is left.
    As in the paper, candidates lie on segments from y to extreme points of the answers that keep the label: uniform over a
    set that holds it. Of the sets of one size we take the label and the least likely classes (least inner product with y), and
    of the sizes the one whose answer, cut off at the budget, turns furthest; the paper picks the point before it cuts
    off. What is left out: answers beside these segments, and what a real surrogate has learnt already.
    Such answers have a form of their own: let the policy stand on all rows rather than on flagged ones.
    Source: Orekondy et al. 2020 (arXiv 1906.10908), the MAD objective and its argmax variant.
    """

    name: ClassVar[str] = "mad-argmax"
    traits: ClassVar[Traits] = Traits(keeps_top_label=True, l1_budget=2.0, near_duplicates=NearDuplicates.DETERMINISTIC)
    epsilon: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.epsilon <= 2:
            raise ConfigError(f"mad-argmax: epsilon is {self.epsilon}; it must be above 0 and at most 2, an L1 distance")

    @property
    def l1_budget(self) -> float:
        return self.epsilon

    def answer(self, rows: Rows) -> Floats:
        """Return (n, k) float32 within `epsilon` of the victim's answer; the top label is the victim's own."""
        y = rows.probabilities.astype(np.float64)
        if y.shape[1] < 2:
            return rows.probabilities.copy()
        order = _label_then_least_likely(y)
        size = self._best_size(np.take_along_axis(y, order, axis=1))[:, None]
        far = np.empty_like(y)
        np.put_along_axis(far, order, (np.arange(y.shape[1]) < size) / size, axis=1)
        reach = self.epsilon / np.maximum(np.abs(far - y).sum(axis=1, keepdims=True), 1e-12)
        return hold_top_label(y + np.minimum(reach, 1.0) * (far - y), rows.probabilities)

    def _best_size(self, y: Array) -> Array:
        """Return (n,) set sizes 1 to k - 1 from rows (n, k) with the label first and the others rising: all sizes at once."""
        k = y.shape[1]
        size = np.arange(1, k)  # the whole of k classes is 1/k everywhere, which has no direction
        inside = y.cumsum(axis=1)[:, :-1]
        own = (y * y).sum(axis=1, keepdims=True) - 1 / k  # |y - 1/k|^2
        with_far = inside / size - 1 / k  # its inner product with the extreme point less 1/k
        # Half of the L1 distance: what lies outside the set, and what the label has above its share.
        half = 1.0 - inside + np.maximum(y[:, :1] - 1 / size, 0.0)
        h = np.minimum(self.epsilon / np.maximum(2 * half, 1e-12), 1.0)
        norm = (1 - h) ** 2 * own + 2 * h * (1 - h) * with_far + h**2 * (1 / size - 1 / k)
        cosine = ((1 - h) * own + h * with_far) / np.sqrt(np.maximum(norm, 1e-12))
        return np.asarray(size[cosine.argmin(axis=1)])


def _label_then_least_likely(y: Array) -> Array:
    """Return the order (n, k) that puts the top label first and the others from the least likely up."""
    key = y.copy()
    np.put_along_axis(key, y.argmax(axis=1)[:, None], -1.0, axis=1)
    return key.argsort(axis=1, kind="stable")
