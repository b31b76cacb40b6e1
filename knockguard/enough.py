"""Whether the in images can keep the promise that is asked for, told before the long work and in images as a user counts them."""

import math

from guard.calibration import smallest_n, target_for
from guard.errors import CalibrationError
from knockguard.pools import IN_SPLIT, Source

_SHARE = IN_SPLIT.shares["calibration"]
_DEVIATIONS = 3.0  # sides are drawn by hash: with so many more than the mean, one draw of 700 falls short


def check_enough(inside: Source, *, target_fpr: float, confidence: float, limit: int, n_classes: int | None = None) -> None:
    """CalibrationError unless what calibrates of the in images supports the target; it names the images that would do.

    With `n_classes` each class has a threshold of its own, and this is what is needed if all are equally frequent.
    """
    counts = inside.counts()
    n, total, groups = counts["calibration"], sum(counts.values()), n_classes or 1
    needed = groups * smallest_n(target_fpr, confidence)
    if n >= needed:
        return
    give = in_images_for(needed)
    of_each = f" for each of {n_classes} classes" if n_classes else ""
    fixes = [f"give at least {give} in images" + (f" and --limit {give}" if give > limit else "")]
    if (target := target_for(n // groups, confidence)) is not None:
        fixes.append(f"ask for --target-fpr {target:g}")
    if n_classes:
        fixes.append("leave --per-class out")
    raise CalibrationError(
        f"{n} of {total} in images calibrate, which cannot support a false-positive rate of {target_fpr:g} with "
        f"{confidence:.0%} confidence{of_each}: {needed} are needed, and {_SHARE:.0%} of all calibrate; {', or '.join(fixes)}"
    )


def in_images_for(n: int) -> int:
    """Return how many in images leave n to calibrate, all but certainly."""
    spread = _DEVIATIONS * math.sqrt(_SHARE * (1 - _SHARE))
    root = (spread + math.sqrt(spread**2 + 4 * _SHARE * n)) / (2 * _SHARE)
    return math.ceil(root**2)
