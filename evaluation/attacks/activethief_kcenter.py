"""ActiveThief by k-center: ask where no answer is near."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evaluation.attacks.informed import Informed, View
from guard.types import Array, Ints

AT_ONCE = 256  # centres: distances take (c, 256) of memory, however much was asked


@dataclass(frozen=True, slots=True)
class ActiveThiefKCenter(Informed):
    """Ask, one after the other, about the image whose expected answer is farthest from all that was asked or chosen.

    Images are compared by a rough copy's probability vectors (Euclidean distance), those asked earlier as well: answers that
    were tampered with do not move them. Source: Pal et al. 2020 (section 4.3, k-center strategy); Sener and Savarese 2018.
    """

    name: ClassVar[str] = "activethief-kcenter"

    def pick(self, view: View, n: int) -> Ints:
        points = view.candidates.astype(np.float64)
        centres = view.expect(view.asked.queries.pixels).astype(np.float64)
        gap = np.full(len(points), np.inf)
        for start in range(0, len(centres), AT_ONCE):
            gap = np.minimum(gap, _squared_distances(points, centres[start : start + AT_ONCE]).min(axis=1))
        chosen = np.empty(n, np.int64)
        for i in range(n):
            chosen[i] = gap.argmax()
            gap = np.minimum(gap, np.square(points - points[chosen[i]]).sum(axis=1))
            gap[chosen[: i + 1]] = -1  # else equal points would be chosen twice
        return chosen


def _squared_distances(a: Array, b: Array) -> Array:
    """Return (len(a), len(b)), at least 0."""
    gaps: Array = np.square(a).sum(axis=1)[:, None] - 2 * a @ b.T + np.square(b).sum(axis=1)
    return np.maximum(gaps, 0)
