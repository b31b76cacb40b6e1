"""The score's histogram: one metric whose edges differ from bundle to bundle, and change when a bundle does."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from guard.bundle import Manifest
from guard.guard import Guard


class ScoreHistograms(Collector):
    """A histogram of scores for every model and version, each between its own calibration quantiles."""

    def __init__(self, name: str, about: str, *, registry: CollectorRegistry) -> None:
        self._name, self._about = name, about
        self._live: dict[tuple[str, str], Histogram] = {}
        registry.register(self)

    def bind(self, manifest: Manifest, guard: Guard) -> Histogram:
        """Return a fresh histogram for a bundle; it takes the place of an earlier one of the same model and version."""
        histogram = Histogram(
            self._name, self._about, ("model", "version", "detector"), buckets=_edges(manifest, guard), registry=None
        )
        self._live[manifest.name, manifest.version] = histogram
        return histogram.labels(manifest.name, manifest.version, guard.detector)

    def forget(self, model: str, version: str) -> None:
        """Leave a version out from now on."""
        self._live.pop((model, version), None)

    def describe(self) -> Iterable[Metric]:
        return [HistogramMetricFamily(self._name, self._about)]

    def collect(self) -> Iterable[Metric]:
        whole = Metric(self._name, self._about, "histogram")
        for histogram in tuple(self._live.values()):
            for family in histogram.collect():
                whole.samples.extend(family.samples)
        yield whole


def _edges(manifest: Manifest, guard: Guard) -> list[float]:
    """Return edges at the calibration quantiles, so that drift is a comparison, and at the threshold.

    Above it they go on in growing steps of its distance to the median: there an attack's scores lie, and no quantile does.
    """
    spec = next(d for d in manifest.detectors if d.name == guard.detector)
    threshold = guard.threshold.value
    spread = threshold - spec.quantiles[len(spec.quantiles) // 2]
    return sorted({*spec.quantiles, threshold, *(threshold + spread * step for step in (0.25, 0.5, 1.0, 2.0, 4.0))})
