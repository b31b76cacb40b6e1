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
