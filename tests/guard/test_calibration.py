"""Thresholds: the bound holds, it is tight, and what cannot be supported is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from guard.calibration import Threshold, calibrate, calibrate_per_class, smallest_n, smallest_target, strictest, target_for
from guard.errors import CalibrationError


@given(st.integers(1, 3000), st.floats(0.005, 0.5), st.floats(0.5, 0.999))
def test_bound_agrees_with_the_beta_quantile_and_is_the_tightest(n: int, target: float, confidence: float) -> None:
    scores = np.arange(n, dtype=np.float32)
    if n < smallest_n(target, confidence):
        with pytest.raises(CalibrationError, match="give at least"):
            calibrate(scores, target_fpr=target, confidence=confidence)
        return
    threshold = calibrate(scores, target_fpr=target, confidence=confidence)
    above = int((scores > threshold.value).sum())
    assert beta.cdf(target, above + 1, n - above) >= confidence - 1e-9
    assert above + 1 == n or beta.cdf(target, above + 2, n - above - 1) < confidence + 1e-9
    assert threshold.expected_fpr == pytest.approx((above + 1) / (n + 1))


def test_true_rate_exceeds_the_target_in_one_of_a_hundred_draws_and_not_more() -> None:
    rng, n, target, n_draws = np.random.default_rng(0), 400, 0.05, 4000
    # For uniform scores the true rate of "score > t" is 1 - t, exactly.
    rates = np.array([1 - calibrate(rng.random(n), target_fpr=target).value for _ in range(n_draws)])
    exceeded = int((rates > target).sum())
    # Promised: at most 1 in 100. 1e-6 is this test's own false-alarm rate.
    assert exceeded <= binom.ppf(1 - 1e-6, n_draws, 0.01)
    # And it is no idle promise: the bound is nearly reached, not missed by a factor.
    assert exceeded >= binom.ppf(1e-6, n_draws, 0.004)
    assert 0.02 < rates.mean() < target


def test_ties_only_lower_the_rate() -> None:
    threshold = calibrate(np.ones(500, np.float32), target_fpr=0.05)
    assert not threshold.flags(np.ones(3, np.float32)).any()


def test_refusal_names_the_n_that_would_do_and_the_target_that_n_supports() -> None:
    with pytest.raises(CalibrationError, match=r"give at least 459, or ask for 0\.045"):
        calibrate(np.zeros(100, np.float32), target_fpr=0.01)
    calibrate(np.zeros(459, np.float32), target_fpr=0.01)
    assert smallest_target(100, 0.99) == pytest.approx(0.045, abs=1e-3)


def test_target_that_is_proposed_is_supported_by_the_very_n_and_hardly_above_the_least() -> None:
    for n in range(1, 3000):
        for confidence in (0.9, 0.99):
            target = target_for(n, confidence)
            if target is not None:
                assert smallest_n(target, confidence) <= n
                assert target <= 1.0101 * smallest_target(n, confidence)
    assert (target_for(0, 0.99), target_for(1, 0.99)) == (None, 0.99)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_least_n_of_a_loose_target_calibrates(n: int) -> None:
    target = target_for(n, 0.99)
    assert target is not None
    assert calibrate(np.arange(n, dtype=np.float32), target_fpr=target).value == n - 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(CalibrationError, match="1 of 500 calibration scores"):
        calibrate(np.r_[np.zeros(499), bad].astype(np.float32), target_fpr=0.05)


@pytest.mark.parametrize("target", [0.0, 1.0, -0.1, 5.0])
def test_targets_outside_zero_and_one_are_refused(target: float) -> None:
    with pytest.raises(CalibrationError, match="target_fpr is"):
        calibrate(np.zeros(500, np.float32), target_fpr=target)


def test_score_that_is_not_a_number_is_flagged() -> None:
    threshold = calibrate(np.zeros(500, np.float32), target_fpr=0.05)
    assert threshold.flags(np.array([np.nan, 0.0, 1.0], np.float32)).tolist() == [True, False, True]


def test_each_class_is_held_to_the_target_by_its_own_scores() -> None:
    """Three kinds of customers: one threshold for all of them flags the third far more than was promised."""
    rng, target, n_draws = np.random.default_rng(3), 0.05, 600
    shift = np.array([0.0, 0.2, 1.0])
    over = np.zeros(3, int)
    pooled_rates = []
    for _ in range(n_draws):
        top = rng.integers(0, 3, 900)
        threshold = calibrate_per_class(rng.random(900) + shift[top], top, n_classes=3, target_fpr=target)
        over += (1 - (np.array(threshold.per_class) - shift)) > target  # the true rate of uniform scores
        pooled_rates.append(np.clip(1 - (threshold.value - shift), 0, 1)[2])
    assert (over <= binom.ppf(1 - 1e-6, n_draws, 0.01)).all()
    assert np.mean(pooled_rates) > 1.5 * target


def test_class_with_too_few_rows_is_refused_by_name_with_the_n_that_would_do() -> None:
    top = np.repeat([0, 1, 2], [200, 89, 200])
    with pytest.raises(CalibrationError, match=r"class 1 has 89 calibration images.*90 are needed; give 1.1 times as many"):
        calibrate_per_class(np.zeros(489, np.float32), top, n_classes=3, target_fpr=0.05)
    with pytest.raises(CalibrationError, match="class 3 has 0"):
        calibrate_per_class(np.zeros(489, np.float32), np.arange(489) % 3, n_classes=4, target_fpr=0.05)


def test_row_is_held_to_the_value_of_the_class_ranked_first() -> None:
    threshold = Threshold(0.5, 0.05, 0.99, 500, 0.03, per_class=(0.1, 0.9))
    scores, top = np.array([0.2, 0.2, np.nan], np.float32), np.array([0, 1, 1])
    assert threshold.flags(scores, top).tolist() == [True, False, True]
    np.testing.assert_array_equal(threshold.of(top), np.array([0.1, 0.9, 0.9], np.float32))
    assert threshold.flags(scores[:0], top[:0]).shape == (0,)
    with pytest.raises(CalibrationError, match="give the classes"):
        threshold.flags(scores)
    pooled = Threshold(0.5, 0.05, 0.99, 500, 0.03)
    assert pooled.flags(scores, top).tolist() == pooled.flags(scores).tolist() == [False, False, True]
    np.testing.assert_array_equal(pooled.of(top), np.full(3, 0.5, np.float32))


def test_strictest_is_the_highest_of_each_class() -> None:
    first, second = Threshold(0.5, 0.05, 0.99, 500, 0.03, (0.1, 0.9)), Threshold(0.4, 0.05, 0.99, 500, 0.03, (0.2, 0.3))
    assert strictest([first, second]).per_class == (0.2, 0.9)
    assert strictest([first, second]).value == 0.5
    assert strictest([Threshold(0.5, 0.05, 0.99, 500, 0.03)]).per_class is None
