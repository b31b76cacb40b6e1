"""Thresholds: the bound holds, it is tight, and what cannot be supported is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from guard.calibration import calibrate, smallest_n, smallest_target
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
