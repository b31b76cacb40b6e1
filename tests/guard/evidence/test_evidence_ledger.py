"""The ledger: counts that add up, recent scores and no more, and a bound on what it keeps."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_bundle import tiny_manifest, tiny_model

from guard.decision_log import Decided, Origin
from guard.evidence.ledger import QUANTILES, Ledger
from guard.guard import Guard
from guard.policies.observe import Observe
from guard.types import ApplyTo

MANIFEST = tiny_manifest(model=tiny_model())
ORIGIN = Origin.of(MANIFEST)
GUARD = Guard(MANIFEST, Observe(), apply_to=ApplyTo.FLAGGED)


def decided(*scores: float, tenant: str = "shop", at: float = 1.0, origin: Origin = ORIGIN) -> Decided:
    decision = GUARD.decide(np.full((len(scores), 3), 1 / 3, np.float32), np.array(scores, np.float32).reshape(-1, 1))
    return Decided(origin, decision, tenant, "r", at)


@given(requests=st.lists(st.lists(st.floats(0, 1, width=32), max_size=12), max_size=12))
def test_counts_are_of_all_rows_and_quantiles_of_the_recent_ones(requests: list[list[float]]) -> None:
    ledger = Ledger(n_recent=10)
    for number, scores in enumerate(requests):
        ledger.decided(decided(*scores, at=float(number)))
    every = np.array([score for scores in requests for score in scores], np.float32)
    assert (ledger.rows, ledger.flagged) == (len(every), int((every > 0.5).sum()))
    for entry in ledger.entries():
        recent = every[-10:]
        assert (entry.rows, entry.recent_rows) == (len(every), len(recent))
        assert entry.recent_flagged == int((recent > 0.5).sum())
        if len(recent):
            np.testing.assert_allclose(entry.quantiles, np.quantile(recent, QUANTILES), rtol=1e-6)
        assert entry.last == len(requests) - 1


def test_score_that_is_no_number_counts_as_flagged_and_has_no_quantile() -> None:
    ledger = Ledger()
    ledger.decided(decided(float("nan"), 0.25))
    (entry,) = ledger.entries("shop")
    assert (entry.recent_flagged, set(entry.quantiles)) == (1, {0.25})


def test_tenants_and_bundles_are_kept_apart_and_the_last_seen_comes_first() -> None:
    ledger = Ledger()
    ledger.decided(decided(0.9, tenant="thief"))
    ledger.decided(decided(0.1, tenant="shop"))
    ledger.decided(decided(0.1, tenant="thief", origin=replace(ORIGIN, bundle="another")))
    assert [(e.tenant, e.origin.bundle, e.flagged) for e in ledger.entries()] == [
        ("thief", "another", 0),
        ("shop", ORIGIN.bundle, 0),
        ("thief", ORIGIN.bundle, 1),
    ]
    assert len(ledger.entries("thief")) == 2


def test_forgotten_tenant_begins_anew() -> None:
    ledger = Ledger()
    ledger.decided(decided(0.9, 0.9))
    assert ledger.forget("shop") == 1
    assert ledger.forget("shop") == 0
    ledger.decided(decided(0.1, at=7.0))
    (entry,) = ledger.entries()
    assert (entry.rows, entry.flagged, entry.since) == (1, 0, 7.0)


@pytest.mark.parametrize("n_tenants", [3, 4, 20])
def test_who_was_idle_longest_goes_when_the_ledger_is_full(n_tenants: int) -> None:
    ledger = Ledger(max_accounts=3)
    for number in range(n_tenants):
        ledger.decided(decided(0.1, tenant=f"t{number}"))
    assert [e.tenant for e in ledger.entries()] == [f"t{n}" for n in range(n_tenants)][-3:][::-1]
