"""A copy's measures on the half of the test images that chooses, on the other half, and on all."""

import numpy as np
import pytest

from evaluation.halves import choosing_half
from knockguard.evaluate_cells import Answers

LABELS = np.repeat(np.arange(3), 40)
RIGHT = np.eye(3, dtype=np.float32)[LABELS]


def test_half_that_chooses_is_not_the_half_that_tells() -> None:
    chooses = choosing_half(LABELS, seed=1)
    copy = np.where(chooses[:, None], RIGHT, np.roll(RIGHT, 1, axis=1))
    answers = Answers(copy, RIGHT, LABELS, 3)
    chosen_by, told = answers.by_half(seed=1)
    assert chosen_by is not None
    assert told is not None
    assert (chosen_by.recovery, told.recovery, told.fidelity, answers.measures(seed=1).recovery) == (1.0, 0.0, 0.0, 0.5)
    assert told.net_recovery == pytest.approx(-0.5)


def test_victim_without_a_right_answer_on_a_half_has_no_halves() -> None:
    wrong = np.where(choosing_half(LABELS, seed=1)[:, None], RIGHT, np.roll(RIGHT, 1, axis=1))
    assert Answers(RIGHT, wrong, LABELS, 3).by_half(seed=1) == (None, None)
