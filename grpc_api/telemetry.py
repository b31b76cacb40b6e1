"""Every metric of the gateway, on a registry that is passed in. Label values come from closed sets."""

from collections import Counter as Tally
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import compress
from math import isfinite

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.utils import floatToGoString

from grpc_api.dependency import Dependency
from grpc_api.dependency_metrics import DependencyMetrics
from grpc_api.drift_metrics import DriftMetrics
from grpc_api.score_histogram import ScoreHistograms
from guard.bundle import QUANTILES, Manifest
from guard.guard import Decision, Guard
from guard.live_scores import LiveScores

STAGES = ("decode", "queue", "inference", "decide", "encode")
_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_MODEL = ("model", "version")
_GRPC = ("grpc_type", "grpc_service", "grpc_method")
UNARY = "unary"


class Metrics:
    """What every gateway counts; `for_model` binds the labels of one bundle once, off the hot path."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.requests = Counter(
            "knockguard_requests",
            "Inference requests decided, refused ones included.",
            (*_MODEL, "tenant"),
            registry=registry,
        )
        self.rows = Counter(
            "knockguard_rows", "Rows answered, by what was done.", (*_MODEL, "policy", "action", "tenant"), registry=registry
        )
        self.flagged = Counter(
            "knockguard_flagged_rows",
            "Rows whose score is above the threshold.",
            (*_MODEL, "detector", "policy", "action", "tenant"),
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "knockguard_stage_seconds", "Seconds of a request by stage.", (*_MODEL, "stage"), buckets=_SECONDS, registry=registry
        )
        self.batch_rows = Histogram(
            "knockguard_batch_rows",
            "Rows of one inference.",
            _MODEL,
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=registry,
        )
        self.queued_rows = Gauge("knockguard_queued_rows", "Rows that wait for inference.", _MODEL, registry=registry)
        self.threshold = Gauge(
            "knockguard_threshold", "The detector's threshold, in its own unit.", (*_MODEL, "detector"), registry=registry
        )
        self.target_fpr = Gauge(
            "knockguard_target_fpr", "Share of benign rows that may be flagged.", (*_MODEL, "detector"), registry=registry
        )
        self.calibrated_share = Gauge(
            "knockguard_calibrated_share",
            "Share of the calibration scores at or below an edge of knockguard_score.",
            (*_MODEL, "detector", "le"),
            registry=registry,
        )
        self.score = ScoreHistograms("knockguard_score", "Detector scores; higher is more out.", registry=registry)
        self.build_info = Gauge("knockguard_build_info", "Always 1.", ("release", "provider", *_MODEL), registry=registry)
        self.bundle_info = Gauge("knockguard_bundle_info", "1 for what is live.", (*_MODEL, "bundle"), registry=registry)
        self.unguarded = Counter(
            "knockguard_unguarded_rows", "Rows answered without scores, since the detector failed.", _MODEL, registry=registry
        )
        self.unscored = Counter(
            "knockguard_unscored_rows", "Rows flagged since their score is no number.", _MODEL, registry=registry
        )
        self.dependencies = DependencyMetrics(registry)
        self.drift = DriftMetrics(registry)
        self.ready = Gauge("knockguard_model_ready", "1 if queries would be answered now.", _MODEL, registry=registry)
        self.reloads = Counter("knockguard_bundle_reloads", "Bundles read again, by outcome.", ("outcome",), registry=registry)
        self.audit_rows = Counter("knockguard_audit_rows", "Decisions written to the audit log.", registry=registry)
        self.audit_dropped = Counter(
            "knockguard_audit_dropped_rows", "Decisions that the audit log lost.", ("reason",), registry=registry
        )
        self.audit_queued = Gauge("knockguard_audit_queued_rows", "Decisions that wait to be written.", registry=registry)
        self.limited = Counter(
            "knockguard_limited_requests", "Requests over a limit of their tenant.", ("tenant", "limit"), registry=registry
        )
        self.quota_used = Gauge(
            "knockguard_quota_used_ratio",
            "Share of a tenant's quota that is used, as it was when it last asked.",
            ("tenant",),
            registry=registry,
        )
        self.store_failures = Counter(
            "knockguard_store_failures", "Requests that the store of limits did not count.", ("store", "mode"), registry=registry
        )
        self.handled = Counter("grpc_server_handled", "RPCs completed on the server.", (*_GRPC, "grpc_code"), registry=registry)
        self.handling_seconds = Histogram(
            "grpc_server_handling_seconds", "Seconds until an RPC was handled.", _GRPC, buckets=_SECONDS, registry=registry
        )


class CrewMetrics:
    """What the supervisor of several workers counts beside what they count."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.workers = Gauge("knockguard_workers", "Worker processes that answer now.", registry=registry)
        self.restarts = Counter("knockguard_worker_restarts", "Worker processes that ended unasked.", registry=registry)
        self.failed_starts = Counter(
            "knockguard_worker_failed_starts", "Attempts to start a worker again that failed.", registry=registry
        )


@dataclass(frozen=True, slots=True)
class Timing:
    """When one request's rows were queued, taken into a batch, through the model, and when the guard began and ended with them.

    On `perf_counter`'s clock, in seconds.
    """

    queued: float
    taken: float
    inferred: float
    began: float
    decided: float

    @property
    def stages(self) -> tuple[tuple[str, float, float], ...]:
        """Each stage's name, beginning and end."""
        return (
            ("queue", self.queued, self.taken),
            ("inference", self.taken, self.inferred),
            ("decide", self.began, self.decided),
        )


class ModelMetrics:
    """The metrics of one bundle, labels bound."""

    def __init__(self, metrics: Metrics, manifest: Manifest, guard: Guard, *, provider: str) -> None:
        self._metrics = metrics
        self._labels = (manifest.name, manifest.version)
        self._detector = guard.detector
        self._stages = {stage: metrics.stage_seconds.labels(*self._labels, stage) for stage in STAGES}
        self._batch_rows = metrics.batch_rows.labels(*self._labels)
        self._queued_rows = metrics.queued_rows.labels(*self._labels)
        self._unguarded = metrics.unguarded.labels(*self._labels)  # from 0 on: Prometheus sees no increase in what begins at 1
        self._unscored = metrics.unscored.labels(*self._labels)
        self._score = metrics.score.bind(manifest, guard)
        self._queued_rows.set(0)
        self._gauges: list[tuple[Gauge, tuple[str, ...]]] = [(metrics.queued_rows, self._labels)]
        self._say(metrics.threshold, guard.threshold.value, guard.detector)
        self._say(metrics.target_fpr, guard.threshold.target_fpr, guard.detector)
        spec = next(d for d in manifest.detectors if d.name == guard.detector)
        for edge, share in zip(spec.quantiles, QUANTILES, strict=True):  # equal edges keep the largest share
            le = floatToGoString(edge)  # type: ignore[no-untyped-call]  # as the histogram writes its own edges
            self._say(metrics.calibrated_share, share, guard.detector, le)
        self._say(metrics.bundle_info, 1, manifest.digest)
        self._gauges.append((metrics.build_info, (version("knockguard"), provider, *self._labels)))
        metrics.build_info.labels(*self._gauges[-1][1]).set(1)

    def watch(self, ready: Callable[[], bool], dependencies: Sequence[Dependency], scores: LiveScores) -> None:
        """Ask whether the model answers, how its dependencies do and how its scores lie whenever the metrics are read."""
        self._gauges.append((self._metrics.ready, self._labels))
        self._metrics.ready.labels(*self._labels).set_function(ready)
        self._metrics.dependencies.watch(*self._labels, dependencies)
        self._metrics.drift.watch(*self._labels, scores)

    def forget(self) -> None:
        """Leave out what only a live bundle has; what was counted stays."""
        self._metrics.score.forget(*self._labels)
        self._metrics.dependencies.forget(*self._labels)
        self._metrics.drift.forget(*self._labels)
        for gauge, labels in self._gauges:
            gauge.remove(*labels)
        self._gauges.clear()

    def queued(self, n_rows: int) -> None:
        """Note how many rows wait."""
        self._queued_rows.set(n_rows)

    def inferred(self, n_rows: int) -> None:
        """Observe one inference; safe in any thread."""
        self._batch_rows.observe(n_rows)

    def stage(self, stage: str, seconds: float) -> None:
        """Observe one stage of one request."""
        self._stages[stage].observe(seconds)

    def answered(self, decision: Decision, timing: Timing, *, tenant: str) -> None:
        """Count one request's rows: all of them, and those flagged, by what was done."""
        self._metrics.requests.labels(*self._labels, tenant).inc()
        done = list(zip(decision.policies, decision.actions, strict=True))
        for (policy, action), n in Tally(done).items():
            self._metrics.rows.labels(*self._labels, policy, action.value, tenant).inc(n)
        for (policy, action), n in Tally(compress(done, decision.flagged.tolist())).items():
            self._metrics.flagged.labels(*self._labels, self._detector, policy, action.value, tenant).inc(n)
        if not decision.guarded:
            self._unguarded.inc(len(done))
        for score in decision.score.tolist() if decision.guarded else ():
            if isfinite(score):
                self._score.observe(score)
            else:  # it would stay in the histogram's sum for good
                self._unscored.inc()
        for stage, began, ended in timing.stages:
            self._stages[stage].observe(ended - began)

    def _say(self, gauge: Gauge, value: float, *labels: str) -> None:
        """Set a gauge, and remember it until this bundle goes. Equal edges come twice."""
        self._gauges.append((gauge, (*self._labels, *labels)))
        gauge.labels(*self._gauges[-1][1]).set(value)
