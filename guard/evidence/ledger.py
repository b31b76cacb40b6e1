"""Ledger: what is known of each tenant's queries: how many, how many flagged, and where the recent scores lie. No images."""

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from guard.decision_log import Decided, Origin
from guard.types import Array

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True, slots=True)
class Entry:
    """A tenant's queries to one bundle. `quantiles` are those of QUANTILES over the recent finite scores; empty without any.

    `since` and `last` are seconds since 1970.
    """

    tenant: str
    origin: Origin
    rows: int
    flagged: int
    since: float
    last: float
    recent_rows: int
    recent_flagged: int
    quantiles: tuple[float, ...]


@dataclass(slots=True)
class _Account:
    since: float
    recent: Array  # (n_recent, 2) float32: score, and 1 where it was flagged; a ring
    last: float = 0.0
    rows: int = 0
    flagged: int = 0

    def add(self, decided: Decided) -> None:
        scores, flags = decided.decision.score, decided.decision.flagged
        n_ring = len(self.recent)
        places = (self.rows + np.arange(len(scores))[-n_ring:]) % n_ring
        self.recent[places, 0] = scores[-n_ring:]
        self.recent[places, 1] = flags[-n_ring:]
        self.rows += len(scores)
        self.flagged += int(flags.sum())
        self.last = decided.at


@dataclass(slots=True)
class Ledger:
    """Counts since the start, or since a tenant was forgotten. In memory, and bounded: what was idle longest goes first."""

    max_accounts: int = 4096
    n_recent: int = 1000
    rows: int = 0
    flagged: int = 0
    _accounts: "OrderedDict[tuple[str, Origin], _Account]" = field(default_factory=OrderedDict)

    def decided(self, decided: Decided) -> None:
        """Add one request's rows."""
        key = decided.tenant, decided.origin
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = _Account(decided.at, np.zeros((self.n_recent, 2), np.float32))
            if len(self._accounts) > self.max_accounts:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end(key)
        account.add(decided)
        self.rows += len(decided.decision.score)
        self.flagged += int(decided.decision.flagged.sum())

    def entries(self, tenant: str = "") -> list[Entry]:
        """Return what is known of a tenant, or of all, the most recent first."""
        found = [(key, account) for key, account in reversed(self._accounts.items()) if tenant in ("", key[0])]
        return [_entry(*key, account) for key, account in found]

    def forget(self, tenant: str) -> int:
        """Begin anew with a tenant, and return how many entries there were."""
        keys = [key for key in self._accounts if key[0] == tenant]
        for key in keys:
            del self._accounts[key]
        return len(keys)


def _entry(tenant: str, origin: Origin, account: _Account) -> Entry:
    recent = account.recent[: account.rows]
    finite = recent[np.isfinite(recent[:, 0]), 0]
    quantiles = tuple(np.quantile(finite, QUANTILES).tolist()) if len(finite) else ()
    return Entry(
        tenant,
        origin,
        account.rows,
        account.flagged,
        account.since,
        account.last,
        len(recent),
        int(recent[:, 1].sum()),
        quantiles,
    )
