"""Thresholds from held-out scores, with a guarantee that holds for this very calibration set.

With n in-distribution scores and the r-th smallest as threshold, the true false-positive rate of "score > threshold" is
Beta(n + 1 - r, r) over draws of the calibration set, whatever the scores' distribution (Bates et al., arXiv 2104.08279;
ties only make it smaller). `calibrate` takes the smallest r for which that rate is at most the target with the
asked confidence: not just on average, but for 99 of 100 calibration sets.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from pydantic import ConfigDict, Field

from guard.errors import CalibrationError
from guard.types import Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class Threshold:
    """A row is flagged when its score is greater than `value`; `expected_fpr` is the mean of the Beta above.

    With `per_class` the class that the victim ranks first chooses the value, and the promise holds for each class by itself: one
    whose honest images score high is not flagged more than others. `value` and `expected_fpr` are then those of all rows.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")  # it is read from manifests as it is

    value: Annotated[float, Field(allow_inf_nan=False)]
    target_fpr: Annotated[float, Field(gt=0, lt=1)]
    confidence: Annotated[float, Field(gt=0, lt=1)]
    n: Annotated[int, Field(ge=1)]
    expected_fpr: Annotated[float, Field(ge=0, lt=1)]
    per_class: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] | None = None

    def of(self, top: Ints) -> Floats:
        """Return (n,) float32, the value that each row is held to; `top` (n,) is the class that the victim ranks first."""
        if self.per_class is None:
            return np.full(len(top), self.value, np.float32)
        return np.asarray(self.per_class, np.float32)[top]

    def flags(self, scores: Floats, top: Ints | None = None) -> Bools:
        """Return (n,) booleans. A score that is not a number is flagged: an unknown is no friend.

        CalibrationError if thresholds are by class and `top` is not given.
        """
        if self.per_class is None:
            return ~(scores <= self.value)
        if top is None:
            raise CalibrationError("this threshold is one of each class; give the classes that the victim ranks first")
        return ~(scores <= self.of(top))


def calibrate(scores: Floats, *, target_fpr: float, confidence: float = 0.99) -> Threshold:
    """Return the lowest threshold whose false-positive rate is at most `target_fpr` with `confidence`.

    `scores` (n,) come from in-distribution images that fitted nothing. CalibrationError when n is too small for the target
    (the message names the n that would do), and when a score is not finite.
    """
    n = len(scores)
    check_supported(n, target_fpr=target_fpr, confidence=confidence)
    if bad := int((~np.isfinite(scores)).sum()):
        raise CalibrationError(f"{bad} of {n} calibration scores are not finite; look for broken images or an overflowing graph")
    n_above = _most_above(n, target_fpr, confidence)
    value = float(np.partition(scores, n - 1 - n_above)[n - 1 - n_above])
    return Threshold(value, target_fpr, confidence, n, (n_above + 1) / (n + 1))


def calibrate_per_class(scores: Floats, top: Ints, *, n_classes: int, target_fpr: float, confidence: float = 0.99) -> Threshold:
    """Return a threshold of each class, each as `calibrate` has it for the rows that the victim puts into that class.

    CalibrationError names the class with the fewest rows when that is too few. The confidence is each class's own: that it holds
    for all k of them at once is promised with 1 - k (1 - confidence) only.
    """
    counts = np.bincount(top, minlength=n_classes)
    if (fewest := int(counts.min())) < (needed := smallest_n(target_fpr, confidence)):
        raise CalibrationError(
            f"class {int(counts.argmin())} has {fewest} calibration images, which cannot support a false-positive rate of "
            f"{target_fpr:g} with {confidence:.0%} confidence: {needed} are needed; give {_times(needed, fewest)}of "
            "that class, or ask for one threshold for all"
        )
    pooled = calibrate(scores, target_fpr=target_fpr, confidence=confidence)
    own = (calibrate(scores[top == c], target_fpr=target_fpr, confidence=confidence).value for c in range(n_classes))
    return replace(pooled, per_class=tuple(own))


def strictest(thresholds: Sequence[Threshold]) -> Threshold:
    """Return the one that flags least: the highest value, and by class the highest of each."""
    highest = max(thresholds, key=lambda t: t.value)
    own = [t.per_class for t in thresholds if t.per_class is not None]
    return replace(highest, per_class=tuple(map(max, zip(*own, strict=True)))) if own else highest


def check_supported(n: int, *, target_fpr: float, confidence: float) -> None:
    """CalibrationError unless n scores can support the target; it names the n that would do."""
    needed = smallest_n(target_fpr, confidence)
    if n < needed:
        target = target_for(n, confidence)
        instead = "" if target is None else f", or ask for {target:g} or more"
        raise CalibrationError(
            f"{n} calibration images cannot support a false-positive rate of {target_fpr:g} with {confidence:.0%} confidence; "
            f"give at least {needed}{instead}"
        )


def smallest_n(target_fpr: float, confidence: float) -> int:
    """Return the least n that can support the target: the largest of n scores must do, so (1 - target)^n <= 1 - confidence.

    CalibrationError for a share that no n can support.
    """
    for label, share in (("target_fpr", target_fpr), ("confidence", confidence)):
        if not 0 < share < 1:
            raise CalibrationError(f"{label} is {share}; it must lie between 0 and 1, both excluded")
    return max(1, math.ceil(math.log1p(-confidence) / math.log1p(-target_fpr) - 1e-9))


def smallest_target(n: int, confidence: float) -> float:
    """Return the least target that n scores can support."""
    return 1.0 if n == 0 else -math.expm1(math.log1p(-confidence) / n)


def target_for(n: int, confidence: float) -> float | None:
    """Return the least target of three digits that n scores can support, or None if there is none."""
    if n == 0:
        return None
    least = smallest_target(n, confidence)
    step = 10.0 ** (math.floor(math.log10(least)) - 2)
    # Upwards, or what is proposed would be refused in turn.
    target = round(math.ceil(least / step - 1e-6) * step, 15)
    return target if target < 1 else None


def _times(needed: int, n: int) -> str:
    """Return by what a number of images must grow, in words; whoever gives them counts others than those that calibrate."""
    return "images " if n == 0 else f"{math.ceil(10 * needed / n) / 10:g} times as many images "


def _most_above(n: int, target_fpr: float, confidence: float) -> int:
    """Return the most calibration scores that may lie above the threshold.

    Beta(a + 1, n - a) <= target with the asked confidence says the same as Binomial(n, target) <= a with at most
    1 - confidence, which needs no special functions: probabilities are summed in the log domain.
    """
    log_choose, total = 0.0, 0.0
    log_p, log_q = math.log(target_fpr), math.log1p(-target_fpr)
    for above in range(n):
        total += math.exp(log_choose + above * log_p + (n - above) * log_q)
        if total > 1 - confidence:
            return max(above - 1, 0)  # none at all is `smallest_n`'s to allow, which has rounded once less
        log_choose += math.log(n - above) - math.log(above + 1)
    return n - 1
