"""What a detector can do, measured: rates at its own threshold, and what does not hang on a threshold, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.groups import ALONE, Groups, redrawing
from evaluation.metrics import auroc
from guard.calibration import Threshold
from guard.rate import Rate
from guard.types import Bools, Floats

_DRAWS = 200
_LEVELS = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Measure:
    """One detector on one pool. Intervals are 95 %: Wilson's for rates, the bootstrap's (both sides redrawn) for the others.

    Where images come in groups the intervals are over groups: another pool has other classes.
    """

    tpr: Rate
    fpr: Rate
    auroc: float
    auroc_interval: tuple[float, float]
    fpr_at_95: float  # share of in images that a threshold flags which flags 95 % of the out images
    fpr_at_95_interval: tuple[float, float]

    @property
    def tnr(self) -> Rate:
        """In images let through."""
        return Rate(self.fpr.n - self.fpr.count, self.fpr.n)


def measure(inside: Floats, outside: Floats, threshold: Threshold, *, seed: int, groups: Groups = ALONE) -> Measure:
    """Return what scores (n,) and (m,) say at a threshold; InvalidInputError if either side is empty."""
    return measure_at(inside, outside, [threshold], seed=seed, groups=groups)[0]


def measure_at(
    inside: Floats, outside: Floats, thresholds: Sequence[Threshold], *, seed: int, groups: Groups = ALONE
) -> list[Measure]:
    """Return a `measure` for each threshold; what hangs on none is computed once."""
    return _measures(inside, outside, [(t.flags(inside), t.flags(outside)) for t in thresholds], seed=seed, groups=groups)


def measure_above(inside: Floats, outside: Floats, score: float, *, seed: int, groups: Groups = ALONE) -> Measure:
    """Return a `measure` that flags what lies above a score, for what has no calibrated threshold."""
    return _measures(inside, outside, [(inside > score, outside > score)], seed=seed, groups=groups)[0]


def _measures(
    inside: Floats, outside: Floats, flags: Sequence[tuple[Bools, Bools]], *, seed: int, groups: Groups
) -> list[Measure]:
    rng = np.random.default_rng(seed)
    in_rows, out_rows = redrawing(len(inside), groups.inside), redrawing(len(outside), groups.outside)
    draws = np.array([_free(inside[in_rows(rng)], outside[out_rows(rng)]) for _ in range(_DRAWS)])
    low, high = np.percentile(draws, _LEVELS, axis=0)
    area, at_95 = _free(inside, outside)
    return [
        Measure(
            tpr=Rate.of(out_flags, groups.outside),
            fpr=Rate.of(in_flags, groups.inside),
            auroc=area,
            auroc_interval=(float(low[0]), float(high[0])),
            fpr_at_95=at_95,
            fpr_at_95_interval=(float(low[1]), float(high[1])),
        )
        for in_flags, out_flags in flags
    ]


def _free(inside: Floats, outside: Floats) -> tuple[float, float]:
    area = auroc(inside, outside)
    # The largest threshold that still flags 95 % of the out images.
    threshold = np.sort(outside)[int(np.floor(0.05 * len(outside)))]
    return area, float((inside >= threshold).mean())
