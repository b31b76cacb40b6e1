"""The ring of recent scores: bounded, the latest, and compared with each detector's own calibration."""

import threading

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.bundle import Manifest
from guard.drift import count, drift
from guard.live_scores import LiveScores


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it is frozen
@given(st.lists(st.integers(0, 13), max_size=8))
def test_the_latest_are_kept_in_whatever_portions_they_come(manifest: Manifest, portions: list[int]) -> None:
    live, rng = LiveScores(manifest, size=5), np.random.default_rng(0)
    scores = rng.random((sum(portions), 2), np.float32)
    start = 0
    for n in portions:
        live.add(scores[start : start + n])
        start += n
    found = live.drifts()
    if not len(scores):
        assert found == {}
        return
    for column, spec in enumerate(manifest.detectors):
        counts = count(scores[-5:, column], spec.quantiles)
        assert found[spec.name] == drift(counts, spec.quantiles, n_calibration=spec.threshold.n)


def test_scores_as_calibrated_have_not_moved_and_others_have(manifest: Manifest) -> None:
    first, second = manifest.detectors
    live, rng = LiveScores(manifest), np.random.default_rng(1)
    alike = np.interp(rng.random(4096), np.linspace(0.05, 0.95, 19), first.quantiles)
    live.add(np.stack([alike, np.full(4096, second.quantiles[-1] + 1)], axis=1).astype(np.float32))
    assert live.drifts()[second.name].moved
    assert live.drifts()[second.name].psi > 1


def test_many_threads_lose_no_row(manifest: Manifest) -> None:
    live = LiveScores(manifest, size=4000)
    threads = [threading.Thread(target=lambda: [live.add(np.zeros((3, 2), np.float32)) for _ in range(100)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {drift.n for drift in live.drifts().values()} == {2400}
