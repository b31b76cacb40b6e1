"""Drift: nothing where nothing moved, the textbook's number where something did, and no more false alarms than promised."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, ks_2samp

from guard.bundle import QUANTILES
from guard.drift import FALSE_ALARM, count, drift
from guard.errors import CalibrationError

EDGES = tuple(np.arange(1.0, 20.0))  # of twenty bins


def test_counts_are_between_quantiles_with_ties_below_and_the_unknown_on_top() -> None:
    scores = np.array([-5, 1, 1.5, 19, 19.5, np.inf, np.nan], np.float32)
    counts = count(scores, EDGES)
    assert counts.sum() == 7
    assert (counts[0], counts[1], counts[18], counts[19]) == (2, 1, 1, 3)
    assert count(scores[:0], EDGES).tolist() == [0] * 20


def test_index_is_that_of_the_textbook() -> None:
    counts = np.full(20, 50)
    counts[:10], counts[10:] = 25, 75
    found = drift(counts, EDGES, n_calibration=1000)
    share = (counts + 0.5) / (1000 + 10)
    assert found.psi == pytest.approx(((share - 0.05) * np.log(share / 0.05)).sum())
    assert found.psi == pytest.approx(0.27, abs=0.01)  # without the halves: .5 * ln(3) / 2
    assert found.gap == pytest.approx(0.25)
    assert found.moved


def test_even_counts_are_no_drift() -> None:
    found = drift(np.full(20, 7), EDGES, n_calibration=500)
    assert (found.psi, found.gap, found.moved) == (pytest.approx(0, abs=1e-12), pytest.approx(0, abs=1e-12), False)


@given(st.lists(st.integers(0, 500), min_size=20, max_size=20).filter(any), st.integers(1, 5000))
def test_numbers_are_finite_and_within_their_bounds(counts: list[int], n_calibration: int) -> None:
    found = drift(np.array(counts), EDGES, n_calibration=n_calibration)
    assert np.isfinite([found.psi, found.noise]).all()
    assert found.psi >= 0
    assert 0 <= found.gap <= 1
    assert 0 < found.critical_gap <= 1


def test_unmoved_scores_alarm_no_more_often_than_promised_and_show_the_noise_foretold() -> None:
    rng, n, m, n_draws = np.random.default_rng(0), 700, 400, 3000
    found = []
    for _ in range(n_draws):
        quantiles = np.quantile(rng.random(m), QUANTILES)
        found.append(drift(count(rng.random(n), quantiles), quantiles.tolist(), n_calibration=m))
    assert sum(f.moved for f in found) <= binom.ppf(1 - 1e-6, n_draws, FALSE_ALARM)
    assert np.mean([f.psi for f in found]) == pytest.approx(found[0].noise, rel=0.15)


def test_gap_is_what_kolmogorov_and_smirnov_see_at_the_quantiles() -> None:
    rng = np.random.default_rng(1)
    before, after = rng.normal(0, 1, 4000), rng.normal(0.6, 1, 3000)
    quantiles = np.quantile(before, QUANTILES).tolist()
    found = drift(count(after, quantiles), quantiles, n_calibration=len(before))
    assert found.gap == pytest.approx(ks_2samp(before, after).statistic, abs=0.01)
    assert found.moved
    assert found.psi > 0.25


def test_score_that_many_images_share_is_no_drift() -> None:
    rng = np.random.default_rng(2)
    before, after = (np.minimum(rng.random(4000), 0.6).astype(np.float32) for _ in range(2))
    quantiles = np.quantile(before, QUANTILES).tolist()
    found = drift(count(after, quantiles), quantiles, n_calibration=len(before))
    assert not found.moved
    assert found.psi < 0.02
    moved = drift(count(np.minimum(rng.random(4000) * 0.9, 0.6), quantiles), quantiles, n_calibration=len(before))
    assert moved.psi > 3 * found.psi


@pytest.mark.parametrize(("counts", "n_calibration"), [([0] * 20, 10), ([1] * 19, 10), ([1] * 20, 0)])
def test_what_tells_nothing_is_refused(counts: list[int], n_calibration: int) -> None:
    with pytest.raises(CalibrationError, match="one more count than quantiles"):
        drift(np.array(counts), EDGES, n_calibration=n_calibration)
