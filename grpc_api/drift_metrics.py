"""Drift as metrics, computed when somebody scrapes: some tenths of a millisecond for each detector, and nothing for a query."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from guard.live_scores import LiveScores

_LABELS = ("model", "version", "detector")


class DriftMetrics(Collector):
    """The drift of every detector of every live model, the ones that do not decide included."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._live: dict[tuple[str, str], LiveScores] = {}
        registry.register(self)

    def watch(self, model: str, version: str, scores: LiveScores) -> None:
        """Tell of these from now on; they take the place of earlier ones of the same model and version."""
        self._live[model, version] = scores

    def forget(self, model: str, version: str) -> None:
        """Leave a version out from now on."""
        self._live.pop((model, version), None)

    def describe(self) -> Iterable[Metric]:
        return self._families()

    def collect(self) -> Iterable[Metric]:
        psi, noise, gap, critical, rows = families = self._families()
        for (model, version), scores in tuple(self._live.items()):
            for detector, drift in scores.drifts().items():
                labels = (model, version, detector)
                psi.add_metric(labels, drift.psi)
                noise.add_metric(labels, drift.noise)
                gap.add_metric(labels, drift.gap)
                critical.add_metric(labels, drift.critical_gap)
                rows.add_metric(labels, drift.n)
        return families

    def _families(self) -> tuple[GaugeMetricFamily, ...]:
        return tuple(
            GaugeMetricFamily(name, about, labels=_LABELS)
            for name, about in (
                ("knockguard_score_psi", "Population stability index of the recent scores against the calibration's."),
                ("knockguard_score_psi_noise", "What knockguard_score_psi is on average where nothing moved."),
                ("knockguard_score_gap", "Kolmogorov-Smirnov distance of the recent scores from the calibration's."),
                (
                    "knockguard_score_gap_critical",
                    "What knockguard_score_gap stays below, but for a share of .001, where nothing moved.",
                ),
                ("knockguard_score_recent_rows", "Rows whose scores the drift is of."),
            )
        )
