"""Drift: how far live scores have moved from those that the threshold was calibrated on.

A bundle holds 19 quantiles of its calibration scores. Live scores are counted between them, 5 % in each bin if nothing changed,
so two numbers follow from 20 counts and no score need be kept: the population stability index, sum of (o - e) ln(o / e) over
bins, and Kolmogorov and Smirnov's largest gap between the two distribution functions, seen at the quantiles. The first is what
model owners know, with its usual readings of .1 (look) and .25 (act); the second has a level at which it is no accident.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from guard.errors import CalibrationError
from guard.types import Floats, Ints

FALSE_ALARM = 1e-3  # of `Drift.moved`, at most, where scores are independent draws


@dataclass(frozen=True, slots=True)
class Drift:
    """`psi` >= 0 and `gap` in [0, 1] of n live scores; `noise` is the `psi` that as many unmoved scores have on average.

    `critical_gap` is what a gap of unmoved scores stays below but for a share `FALSE_ALARM` of times.
    """

    n: int
    psi: float
    noise: float
    gap: float
    critical_gap: float

    @property
    def moved(self) -> bool:
        """Whether the gap is no accident. Repeats of one image are no independent draws: they make it so sooner."""
        return self.gap > self.critical_gap


def count(scores: Floats, quantiles: Sequence[float]) -> Ints:
    """Return (len(quantiles) + 1,) int64: how many scores lie between the quantiles, a tie below, NaN on top."""
    return np.bincount(np.searchsorted(quantiles, scores, side="left"), minlength=len(quantiles) + 1).astype(np.int64)


def drift(counts: Ints, quantiles: Sequence[float], *, n_calibration: int) -> Drift:
    """Return how far counts between equally likely quantiles are from even; bins between equal quantiles are taken together.

    CalibrationError without a count, or where there is not one more bin than quantiles.
    """
    n = int(counts.sum())
    if len(counts) != len(quantiles) + 1 or n < 1 or n_calibration < 1:
        raise CalibrationError(
            f"{len(counts)} counts of {n} scores between {len(quantiles)} quantiles of {n_calibration}; give one more count than "
            "quantiles, and one score at least"
        )
    # A quantile that comes twice is a score that many images share; how many is not known, so nothing is cut there.
    rises = np.diff(quantiles) > 0
    cuts = np.flatnonzero(np.append(True, rises) & np.append(rises, True)) + 1
    expected = np.diff(cuts, prepend=0, append=len(counts)) / len(counts)
    observed = np.add.reduceat(counts, np.append(0, cuts))
    n_bins = len(expected)
    # Half a score in each bin more: an empty bin is no proof that nothing ever falls there, and its logarithm is finite.
    share = (observed + 0.5) / (n + 0.5 * n_bins)
    psi = float(((share - expected) * np.log(share / expected)).sum())
    gap = float(np.abs(np.cumsum(observed / n) - np.cumsum(expected)).max())
    # Both sides are samples: each within its own bound of Dvoretzky, Kiefer and Wolfowitz (Massart 1990), half the alarms each.
    width = math.sqrt(math.log(4 / FALSE_ALARM) / 2)
    critical = width * (1 / math.sqrt(n) + 1 / math.sqrt(n_calibration))
    return Drift(n, psi, (n_bins - 1) * (1 / n + 1 / n_calibration), gap, min(1.0, critical))
