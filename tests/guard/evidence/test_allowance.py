"""The arithmetic of an allowance: what may be had is never more than was said, and what is refused takes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.evidence.allowance import Account, Allowance, Bound, charged

DAY = 86_400.0
RATED = Allowance(rows_per_s=10, burst_rows=20)
QUOTA = Allowance(quota_rows=100)


def test_bucket_is_full_at_first_and_gains_by_the_second() -> None:
    account, standing = charged(None, 20, RATED, 1000.0)
    assert standing.refused_by is None
    account, standing = charged(account, 5, RATED, 1000.25)
    assert (standing.refused_by, standing.tokens) == (Bound.RATE, 2.5)
    assert standing.wait_s == pytest.approx(0.25)
    _, standing = charged(account, 5, RATED, 1000.25 + standing.wait_s)
    assert standing.refused_by is None


def test_bucket_never_holds_more_than_its_burst() -> None:
    account, _ = charged(None, 20, RATED, 1000.0)
    _, standing = charged(account, 0, RATED, 1e9)
    assert standing.tokens == 20


def test_window_is_the_day_of_utc_and_begins_anew() -> None:
    account, standing = charged(None, 100, QUOTA, 3 * DAY + 3600)
    assert (standing.refused_by, standing.used, standing.window_end) == (None, 100, 4 * DAY)
    _, standing = charged(account, 1, QUOTA, 4 * DAY - 60)
    assert (standing.refused_by, standing.used, standing.wait_s) == (Bound.QUOTA, 100, 60)
    _, standing = charged(account, 1, QUOTA, 4 * DAY)
    assert (standing.refused_by, standing.used) == (None, 1)


def test_longer_wait_of_the_two_is_told_and_neither_is_charged() -> None:
    both = Allowance(rows_per_s=10, burst_rows=20, quota_rows=25)
    account, _ = charged(None, 20, both, 0.0)
    after, standing = charged(account, 10, both, 0.0)
    assert (standing.refused_by, standing.wait_s) == (Bound.QUOTA, DAY)
    assert (after.tokens, after.used) == (0, 20)


def test_clock_that_goes_back_gains_nothing() -> None:
    account, _ = charged(None, 20, RATED, 1000.0)
    back, standing = charged(account, 1, RATED, 900.0)
    assert standing.refused_by is Bound.RATE
    assert charged(back, 0, RATED, 1000.0)[1].tokens == 0


def test_allowance_that_is_lowered_holds_at_once() -> None:
    account, _ = charged(None, 1, RATED, 1000.0)
    lower = Allowance(rows_per_s=1, burst_rows=3)
    assert charged(account, 4, lower, 1000.0)[1].refused_by is Bound.RATE
    account, _ = charged(None, 60, QUOTA, 1000.0)
    assert charged(account, 1, Allowance(quota_rows=50), 1000.0)[1].refused_by is Bound.QUOTA
    assert charged(account, 1, Allowance(quota_rows=50, window_s=100), 1000.0)[1].refused_by is None  # another window


def test_whoever_is_given_a_rate_begins_with_a_full_bucket() -> None:
    account, _ = charged(None, 60, QUOTA, 1000.0)
    assert charged(account, 20, Allowance(10, 20, 100), 1000.0)[1].refused_by is None


@pytest.mark.parametrize(
    ("allowance", "largest"),
    [(Allowance(), None), (RATED, 20), (QUOTA, 100), (Allowance(5, 200, 100), 100), (Allowance(5, 50, 100), 50)],
)
def test_largest_request_is_what_both_bounds_could_ever_give(allowance: Allowance, largest: int | None) -> None:
    assert allowance.largest_request == largest
    assert allowance.bounds_nothing == (largest is None)


@given(
    asked=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 40)), max_size=40),
    rate=st.floats(0.5, 100),
    burst=st.integers(1, 50),
    quota=st.integers(1, 200),
)
def test_nobody_ever_has_more_than_burst_rate_and_quota_give(
    asked: list[tuple[int, int]], rate: float, burst: int, quota: int
) -> None:
    allowance = Allowance(rate, burst, quota, window_s=5.0)
    account: Account | None = None
    start = now = 1e9
    windows: dict[float, int] = {}
    total = 0
    for after_ms, rows in asked:
        now += after_ms / 1000
        account, standing = charged(account, rows, allowance, now)
        if standing.refused_by is None:
            total += rows
            windows[standing.window_end] = windows.get(standing.window_end, 0) + rows
            assert total <= burst + rate * (now - start) + 1e-3
        else:
            assert standing.wait_s > 0
    assert all(rows <= quota for rows in windows.values())
