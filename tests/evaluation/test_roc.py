"""The curve against scores worked out by hand, and against the pairs of images that it orders."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics import auroc
from evaluation.roc import LEVELS, MAX_POINTS, Curve, roc, tpr_at
from guard.errors import InvalidInputError

SCORES = st.lists(st.sampled_from([-np.inf, 0.0, 0.25, 0.5, 1.0, np.inf]), min_size=1, max_size=MAX_POINTS - 1)


def test_points_are_those_of_thresholds_at_the_in_scores() -> None:
    curve = roc(np.array([4, 1, 3, 2], np.float32), np.array([5, 2.5, 3.5, 5], np.float32))
    assert curve == ((0.0, 0.5), (0.25, 0.75), (0.5, 1.0), (0.75, 1.0), (1.0, 1.0))


@given(SCORES, SCORES)
def test_area_under_the_steps_is_the_share_of_pairs_in_order(ours: list[float], theirs: list[float]) -> None:
    inside, outside = np.array(ours, np.float32), np.array(theirs, np.float32)
    assert area(roc(inside, outside)) == pytest.approx((outside[:, None] > inside).mean(), abs=1e-9)


def test_many_scores_keep_few_points_and_the_ones_that_thresholds_are_set_at() -> None:
    rng = np.random.default_rng(0)
    inside, outside = (rng.normal(mean, 1, n).astype(np.float32) for mean, n in ((0, 20_000), (1.5, 3_000)))
    curve = roc(inside, outside)
    assert 50 <= len(curve) <= MAX_POINTS
    assert all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(curve))
    for level in LEVELS:
        threshold = np.sort(inside)[-1 - round(level * len(inside))]
        assert tpr_at(curve, level, n_in=len(inside)) == (outside > threshold).mean()
    assert area(curve) == pytest.approx(auroc(inside, outside), abs=0.02)  # steps between few points lie a little below
    assert area(curve) < auroc(inside, outside)


def test_score_that_is_no_number_counts_as_the_highest() -> None:
    assert roc(np.array([0, 1], np.float32), np.array([np.nan, -1], np.float32))[0] == (0.0, 0.5)


def test_less_than_one_image_says_nothing() -> None:
    curve = roc(np.arange(50, dtype=np.float32), np.array([25.5, 60], np.float32))
    assert tpr_at(curve, 0.01, n_in=50) is None
    assert tpr_at(curve, 0.02, n_in=50) == 0.5
    assert tpr_at((), 0.5, n_in=50) is None


def test_side_without_scores_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="0 in and 1 out"):
        roc(np.zeros(0, np.float32), np.zeros(1, np.float32))


def area(curve: Curve) -> float:
    return sum((right[0] - left[0]) * left[1] for left, right in pairwise(curve))
