"""In images that cannot keep the promise are refused at once, with how many would do, as a user counts them."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from guard.calibration import smallest_n
from guard.errors import CalibrationError
from knockguard.enough import check_enough, in_images_for
from knockguard.pools import Pool


def looked_through(*, n_calibration: int, n_others: int) -> Pool:
    sides = {"fit": n_others, "calibration": n_calibration, "test": 1}
    return Pool(Path("in"), {side: np.full(n, 32) for side, n in sides.items()}, {}, False, {})


REFUSED = {
    "a tenth of a percent too strict": (
        {"n_calibration": 365, "n_others": 834, "target_fpr": 0.01},
        r"365 of 1200 in images calibrate.* 459 are needed, and 30% of all calibrate; "
        r"give at least 17\d\d in images, or ask for --target-fpr 0.0126",
    ),
    "the limit in the way": (
        {"n_calibration": 2990, "n_others": 7009, "target_fpr": 0.001},
        r"4603 are needed.*give at least (\d+) in images and --limit \1, or",
    ),
    "a low limit in the way": (
        {"n_calibration": 59, "n_others": 140, "target_fpr": 0.05, "limit": 200},
        r"give at least (\d+) in images and --limit \1, or",
    ),
    "by class": (
        {"n_calibration": 126, "n_others": 293, "target_fpr": 0.05, "n_classes": 3},
        r"for each of 3 classes: 270 are needed.* or ask for --target-fpr 0.104, or leave --per-class out",
    ),
    "no target would do": (
        {"n_calibration": 2, "n_others": 57, "target_fpr": 0.05, "n_classes": 3},
        r"give at least 10\d\d in images, or leave --per-class out",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusal_names_in_images_and_the_option_that_is_in_the_way(case: str) -> None:
    given, message = REFUSED[case]
    asked = {"confidence": 0.99, "limit": 10_000} | given
    inside = looked_through(n_calibration=int(asked.pop("n_calibration")), n_others=int(asked.pop("n_others")))
    with pytest.raises(CalibrationError, match=message):
        check_enough(inside, **asked)  # type: ignore[arg-type]  # numbers as the table has them


def test_enough_is_let_through() -> None:
    inside = looked_through(n_calibration=459, n_others=1000)
    check_enough(inside, target_fpr=0.01, confidence=0.99, limit=10_000)


@pytest.mark.parametrize("target", [0.2, 0.05, 0.01, 0.001])
def test_images_that_are_named_do_all_but_certainly_and_are_not_twice_as_many(target: float) -> None:
    needed = smallest_n(target, 0.99)
    give = in_images_for(needed)
    assert binom.cdf(needed - 1, give, 0.3) < 0.005
    assert give < 1.8 * needed / 0.3
