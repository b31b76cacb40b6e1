"""Rates: the interval covers, and never leaves 0 to 1."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from guard.rate import Rate


@given(st.integers(1, 5000), st.data())
def test_interval_agrees_with_scipy(n: int, data: st.DataObject) -> None:
    rate = Rate(data.draw(st.integers(0, n)), n)
    reference = binomtest(rate.count, n).proportion_ci(method="wilson")
    assert (rate.low, rate.high) == pytest.approx((reference.low, reference.high), abs=1e-6)
    assert 0 <= rate.low <= rate.value <= rate.high <= 1


def test_nothing_counted_says_nothing() -> None:
    empty = Rate.of(np.zeros(0, bool))
    assert math.isnan(empty.value)
    assert (empty.low, empty.high, str(empty)) == (0.0, 1.0, "- (n=0)")


def test_shown_with_its_n() -> None:
    assert str(Rate(5, 100)) == "0.050 [0.022, 0.112] (n=100)"


def test_groups_that_agree_within_themselves_count_as_so_many_cases() -> None:
    groups = np.repeat(np.arange(20), 100)
    flags = np.isin(groups, [0, 1])  # two pictures of twenty, all of their crops
    alone, grouped = Rate.of(flags), Rate.of(flags, groups)
    assert (grouped.value, grouped.n, grouped.n_groups) == (alone.value, 2000, 20)
    assert grouped.high - grouped.low > 8 * (alone.high - alone.low)
    assert grouped.high == pytest.approx(Rate(2, 20).high, abs=0.04)


def test_groups_without_likeness_change_little() -> None:
    flags = np.random.default_rng(0).random(20_000) < 0.1
    alone, grouped = Rate.of(flags), Rate.of(flags, np.arange(20_000) % 50)
    assert grouped.high - grouped.low == pytest.approx(alone.high - alone.low, rel=0.35)


@pytest.mark.parametrize("flag", [False, True])
def test_nothing_or_everything_flagged_is_worth_the_number_of_groups(flag: bool) -> None:
    grouped, few = Rate.of(np.full(600, flag), np.arange(600) % 6), Rate(6 * flag, 6)
    assert (grouped.low, grouped.high) == (few.low, few.high)


def test_grouped_interval_covers_the_true_share() -> None:
    rng = np.random.default_rng(1)
    groups, missed = np.repeat(np.arange(20), 40), 0
    for _ in range(400):
        share = rng.beta(2, 8, 20)  # every picture has a rate of its own, 0.2 on average
        rate = Rate.of(rng.random(800) < share[groups], groups)
        missed += not rate.low <= 0.2 <= rate.high
    assert missed <= 35  # 5 % of 400 are 20; beyond 35 lies one in a thousand
