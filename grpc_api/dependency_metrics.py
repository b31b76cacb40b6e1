"""What is told of dependencies: read from them when somebody scrapes, so that a query pays nothing for it."""

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from grpc_api.breaker import State
from grpc_api.dependency import Dependency, Fault

_LABELS = ("dependency", "model", "version")


class DependencyMetrics(Collector):
    """The dependencies of every live model."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._live: dict[tuple[str, str], Sequence[Dependency]] = {}
        registry.register(self)

    def watch(self, model: str, version: str, dependencies: Sequence[Dependency]) -> None:
        """Tell of these from now on; they take the place of earlier ones of the same model and version."""
        self._live[model, version] = dependencies

    def forget(self, model: str, version: str) -> None:
        """Leave a version out from now on."""
        self._live.pop((model, version), None)

    def describe(self) -> Iterable[Metric]:
        return self._families()

    def collect(self) -> Iterable[Metric]:
        states, faults, openings = families = self._families()
        for (model, version), dependencies in tuple(self._live.items()):
            for dependency in dependencies:
                labels = (dependency.name, model, version)
                for state in State:  # all of them, so that each is 0 before it is 1
                    states.add_metric((*labels, dependency.mode.value, state.value), float(dependency.state is state))
                for fault in Fault:
                    faults.add_metric((*labels, fault.value), dependency.faults[fault])
                openings.add_metric(labels, dependency.openings)
        return families

    def _families(self) -> tuple[GaugeMetricFamily, CounterMetricFamily, CounterMetricFamily]:
        return (
            GaugeMetricFamily(
                "knockguard_breaker_state", "1 for the state that a breaker is in.", labels=(*_LABELS, "mode", "state")
            ),
            CounterMetricFamily("knockguard_dependency_faults", "Calls that a dependency failed.", labels=(*_LABELS, "fault")),
            CounterMetricFamily("knockguard_breaker_openings", "Times that a dependency was lost.", labels=_LABELS),
        )
