"""What `protect` compares answers on."""

import numpy as np
import pytest

from guard.bundle import InputSpec
from knockguard.protect import Material

SPEC = InputSpec(name="image", shape=(3, 4, 4), layout="NCHW", scale=1.0)


def grey(n: int, level: int) -> np.ndarray:
    return np.full((n, 4, 4, 3), level, np.uint8)


@pytest.mark.parametrize(
    ("n_test", "n_calibration", "expected"),
    [
        (100, 100, {1.0: 64}),
        (1, 100, {1.0: 1, 2.0: 63}),
        (1, 20, {1.0: 1, 2.0: 20, 3.0: 20, 4.0: 23}),
        (1, 5, {1.0: 1, 2.0: 5, 3.0: 5, 4.0: 50}),
    ],
)
def test_answers_are_compared_on_64_images_or_all_those_of_the_test_first(
    n_test: int, n_calibration: int, expected: dict[float, int]
) -> None:
    calibration = {"as_sent": grey(n_calibration, 2), "reencoded": grey(n_calibration, 3)}
    material = Material(grey(50, 4), grey(50, 9), calibration, grey(n_test, 1), grey(50, 9))
    shown = material.shown(SPEC)
    assert shown.dtype == np.float32
    levels, counts = np.unique(shown[:, 0, 0, 0], return_counts=True)
    assert dict(zip(levels.tolist(), counts.tolist(), strict=True)) == expected
