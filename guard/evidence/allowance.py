"""Allowance: how many rows a tenant may ask for, a second and in a window of time. Pure arithmetic; a store keeps the counts."""

from dataclasses import dataclass
from enum import StrEnum
from math import floor, inf


class Bound(StrEnum):
    """What of an allowance a request is over. A closed set: it is a metric label."""

    SIZE = "size"  # more rows than could ever be allowed at once
    RATE = "rate"  # more than the bucket holds now
    QUOTA = "quota"  # more than is left of the window


@dataclass(frozen=True, slots=True)
class Allowance:
    """A token bucket that holds `burst_rows` and gains `rows_per_s`, and `quota_rows` a window; None bounds nothing.

    Windows begin at whole multiples of `window_s` since 1970, UTC: all replicas agree on them, and a day's begins at midnight.
    """

    rows_per_s: float | None = None
    burst_rows: int = 0  # with a rate alone
    quota_rows: int | None = None
    window_s: float = 86_400.0

    def window_at(self, now: float) -> float:
        """Return when the window that holds `now` began."""
        return floor(now / self.window_s) * self.window_s

    @property
    def bounds_nothing(self) -> bool:
        return self.rows_per_s is None and self.quota_rows is None

    @property
    def largest_request(self) -> int | None:
        """The most rows that one request can ever have; None without a bound."""
        burst = None if self.rows_per_s is None else self.burst_rows
        return min((n for n in (burst, self.quota_rows) if n is not None), default=None)


@dataclass(frozen=True, slots=True)
class Account:
    """What a store keeps of a tenant: `tokens` rows in the bucket at time `at`, infinitely many without a rate.

    `used` rows were taken of the window that began at `window`. Times are seconds since 1970.
    """

    tokens: float
    at: float
    window: float
    used: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a tenant stands after a request: what refused it, None if it was taken, and in how many seconds it would not.

    `tokens` rows are in the bucket, 0 without a rate; `used` rows of the window were taken, and it ends at `window_end`.
    """

    refused_by: Bound | None
    wait_s: float
    tokens: float
    used: int
    window_end: float


def charged(account: Account | None, rows: int, allowance: Allowance, now: float) -> tuple[Account, Standing]:
    """Return an account after `rows` were asked for at `now`, and how it stands; a request that is refused takes nothing.

    None is an account that nothing was asked of. A clock that went back, or another replica's that is behind, gains nothing.
    """
    window = allowance.window_at(now)
    used = account.used if account is not None and account.window == window else 0
    at = now if account is None else max(account.at, now)
    tokens, rate = 0.0, allowance.rows_per_s
    if rate is not None:
        tokens = float(allowance.burst_rows)
        if account is not None:
            tokens = min(tokens, account.tokens + (at - account.at) * rate)
    refused_by, wait_s = None, 0.0
    if rate is not None and tokens < rows:
        refused_by, wait_s = Bound.RATE, (rows - tokens) / rate
    if allowance.quota_rows is not None and used + rows > allowance.quota_rows:  # the longer wait of the two
        refused_by, wait_s = Bound.QUOTA, max(wait_s, window + allowance.window_s - now)
    if refused_by is None:
        tokens, used = tokens - rows if rate is not None else 0.0, used + rows
    kept = inf if rate is None else tokens  # who is given a rate begins with a full bucket
    return Account(kept, at, window, used), Standing(refused_by, wait_s, tokens, used, window + allowance.window_s)
