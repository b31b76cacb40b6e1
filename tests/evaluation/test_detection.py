"""Detection, measured: rates are those at the threshold."""

import numpy as np
import pytest

from evaluation.detection import measure
from guard.calibration import Threshold

RNG = np.random.default_rng(0)
THRESHOLD = Threshold(1.0, 0.05, 0.99, 500, 0.03)


def test_rates_are_counted_at_the_threshold() -> None:
    found = measure(np.array([0.0, 0.5, 1.0, 1.5], np.float32), np.array([0.9, 1.1, 2.0], np.float32), THRESHOLD, seed=0)
    assert (found.tpr.count, found.tpr.n) == (2, 3)
    assert (found.fpr.count, found.fpr.n) == (1, 4)
    assert found.tnr.count == 3


def test_known_normals_give_the_known_area_inside_its_interval() -> None:
    inside, outside = RNG.normal(size=2000).astype(np.float32), RNG.normal(1.5, 1, 2000).astype(np.float32)
    found = measure(inside, outside, THRESHOLD, seed=0)
    truth = 0.8556  # Phi(1.5 / sqrt 2)
    assert found.auroc_interval[0] < truth < found.auroc_interval[1]
    assert found.auroc_interval[0] <= found.auroc <= found.auroc_interval[1]
    assert found.fpr_at_95 == pytest.approx(0.558, abs=0.05)  # 1 - Phi(1.5 - 1.645)


def test_scores_that_part_the_sides_need_no_false_positive_at_95() -> None:
    found = measure(np.zeros(50, np.float32), np.ones(50, np.float32), THRESHOLD, seed=0)
    assert (found.auroc, found.fpr_at_95) == (1.0, 0.0)


def test_same_seed_same_intervals() -> None:
    sides = RNG.normal(size=100).astype(np.float32), RNG.normal(size=80).astype(np.float32)
    assert measure(*sides, THRESHOLD, seed=3) == measure(*sides, THRESHOLD, seed=3)
