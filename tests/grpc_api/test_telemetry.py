"""Metrics: edges that show drift and attack, and a score that is no number spoils nothing."""

from dataclasses import replace
from importlib.metadata import version as release
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from grpc_api.telemetry import Metrics, ModelMetrics, Timing
from guard.bundle import Manifest, load_bundle
from guard.guard import Guard
from guard.live_scores import LiveScores
from guard.policies.label_only import LabelOnly
from guard.types import ApplyTo


@pytest.fixture
def manifest(bundle: Path) -> Manifest:
    return load_bundle(bundle).manifest


def bound(manifest: Manifest) -> tuple[CollectorRegistry, Guard, ModelMetrics]:
    registry = CollectorRegistry()
    guard = Guard(manifest, LabelOnly(), apply_to=ApplyTo.FLAGGED)
    return registry, guard, ModelMetrics(Metrics(registry), manifest, guard, provider="CPUExecutionProvider")


def edges(registry: CollectorRegistry) -> list[float]:
    found = [s for family in registry.collect() if family.name == "knockguard_score" for s in family.samples]
    return [float(s.labels["le"]) for s in found if s.name.endswith("_bucket")]


def test_score_has_edges_at_the_quantiles_at_the_threshold_and_above_it(manifest: Manifest) -> None:
    spec = manifest.detectors[0].model_copy(update={"threshold": replace(manifest.detectors[0].threshold, value=1.0)})
    found = edges(bound(manifest.model_copy(update={"detectors": (spec,)}))[0])
    assert found == pytest.approx([*spec.quantiles, 1.0, 1.125, 1.25, 1.5, 2.0, 3.0, float("inf")])


def test_calibration_scores_that_are_all_alike_still_make_a_histogram(manifest: Manifest) -> None:
    alike = manifest.detectors[0].model_copy(update={"quantiles": (0.5,) * 19})
    assert edges(bound(manifest.model_copy(update={"detectors": (alike,)}))[0]) == [0.5, float("inf")]


def test_score_that_is_no_number_is_flagged_and_left_out_of_the_sum(manifest: Manifest) -> None:
    registry, guard, metrics = bound(manifest)
    scores = np.array([[0.1], [np.nan], [np.inf], [0.9]], np.float32)
    decision = guard.decide(np.full((4, 3), 1 / 3, np.float32), scores)
    metrics.answered(decision, Timing(0.0, 0.0, 0.0, 0.0, 0.0), tenant="anonymous")
    labels = {"model": "tiny", "version": "3", "detector": "linear"}
    assert registry.get_sample_value("knockguard_score_sum", labels) == pytest.approx(1.0)
    assert registry.get_sample_value("knockguard_score_count", labels) == 2
    row = {**labels, "policy": "label-only", "action": "alter", "tenant": "anonymous"}
    assert registry.get_sample_value("knockguard_flagged_rows_total", row) == 3


def test_queue_is_what_was_last_noted(manifest: Manifest) -> None:
    registry, _, metrics = bound(manifest)
    labels = {"model": "tiny", "version": "3"}
    assert registry.get_sample_value("knockguard_queued_rows", labels) == 0
    metrics.queued(7)
    assert registry.get_sample_value("knockguard_queued_rows", labels) == 7


def test_each_calibration_quantile_says_its_share_under_the_histograms_own_edge(manifest: Manifest) -> None:
    registry, _, _ = bound(manifest)
    labels = {"model": "tiny", "version": "3", "detector": "linear"}
    for edge, share in (("0.05", 0.05), ("0.5", 0.5), ("0.95", 0.95)):
        assert registry.get_sample_value("knockguard_calibrated_share", {**labels, "le": edge}) == share
        assert registry.get_sample_value("knockguard_score_bucket", {**labels, "le": edge}) == 0.0


def test_build_info_tells_the_release_from_the_models_version(manifest: Manifest) -> None:
    (sample,) = next(f for f in bound(manifest)[0].collect() if f.name == "knockguard_build_info").samples
    assert sample.labels == {
        "release": release("knockguard"),
        "provider": "CPUExecutionProvider",
        "model": "tiny",
        "version": "3",
    }


def test_no_metric_names_a_label_twice() -> None:
    metrics = vars(Metrics(CollectorRegistry()))
    names = {m._name: m._labelnames for m in metrics.values() if hasattr(m, "_labelnames")}
    assert names
    assert {name for name, labels in names.items() if len(set(labels)) < len(labels)} == set()


def test_unguarded_rows_are_counted_and_no_score_of_theirs_is(manifest: Manifest) -> None:
    registry, guard, metrics = bound(manifest)
    labels = {"model": "tiny", "version": "3"}
    assert registry.get_sample_value("knockguard_unguarded_rows_total", labels) == 0
    assert registry.get_sample_value("knockguard_unscored_rows_total", labels) == 0
    decision = guard.decide(np.full((4, 3), 1 / 3, np.float32), None)
    metrics.answered(decision, Timing(0.0, 0.0, 0.0, 0.0, 0.0), tenant="anonymous")
    assert registry.get_sample_value("knockguard_unguarded_rows_total", labels) == 4
    assert registry.get_sample_value("knockguard_unscored_rows_total", labels) == 0
    assert registry.get_sample_value("knockguard_score_count", {**labels, "detector": "linear"}) == 0


def test_drift_of_every_detector_is_told_until_its_bundle_goes(manifest: Manifest) -> None:
    second = manifest.detectors[0].model_copy(update={"name": "energy"})
    manifest = manifest.model_copy(update={"detectors": (*manifest.detectors, second)})
    registry, _, metrics = bound(manifest)
    live = LiveScores(manifest)
    metrics.watch(lambda: True, (), live)

    def told(name: str, detector: str) -> float | None:
        return registry.get_sample_value(f"knockguard_score_{name}", {"model": "tiny", "version": "3", "detector": detector})

    assert told("psi", "linear") is None  # of no score nothing can be said
    even = np.linspace(0, 1, 1000, dtype=np.float32)
    live.add(np.stack([even, even + 1], axis=1))
    for name, expected in live.drifts().items():
        values = tuple(told(word, name) for word in ("recent_rows", "psi", "psi_noise", "gap", "gap_critical"))
        assert values == (1000, expected.psi, expected.noise, expected.gap, expected.critical_gap)
    assert (told("psi", "linear") or 0) < 0.01
    assert (told("psi", "energy") or 0) > 1
    metrics.forget()
    assert told("psi", "linear") is None
