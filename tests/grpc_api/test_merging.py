"""What several workers counted, as one gateway's metrics."""

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from grpc_api.stubs import knockguard_admin_pb2 as pb
from grpc_api.telemetry import Metrics
from grpc_api.workers.admin import farthest_drifts, gravest, together, worst_dependencies
from grpc_api.workers.merging import GAUGES, Families, counted, merge, metrics_of, read
from guard.evidence.ledger import QUANTILES


def exposed(
    rows: int, *, waiting: int = 0, ready: int = 1, score: tuple[float, ...] = (), edges: tuple[float, ...] = (1, 2)
) -> Families:
    registry = CollectorRegistry()
    counter = Counter("knockguard_rows", "Rows.", ("tenant",), registry=registry)
    counter.labels('a "shop"\\').inc(rows)
    Gauge("knockguard_queued_rows", "Waiting.", registry=registry).set(waiting)
    Gauge("knockguard_model_ready", "Ready.", registry=registry).set(ready)
    histogram = Histogram("knockguard_score", "Score.", buckets=edges, registry=registry)
    for value in score:
        histogram.observe(value)
    return read(generate_latest(registry).decode())


def total(families: Families, name: str, **labels: str) -> float | None:
    samples = [
        s for metric in metrics_of(families) for s in metric.samples if s.name == name and labels.items() <= s.labels.items()
    ]
    return samples[0].value if samples else None


def test_counts_and_queues_are_sums_and_readiness_is_everybodys() -> None:
    whole = merge([exposed(3, waiting=2), exposed(4, waiting=5, ready=0)])
    assert total(whole, "knockguard_rows_total", tenant='a "shop"\\') == 7
    assert total(whole, "knockguard_queued_rows") == 7
    assert total(whole, "knockguard_model_ready") == 0


def test_merged_metrics_are_read_as_they_were_written() -> None:
    one = exposed(3, score=(0.5, 1.5))

    class Once:
        def collect(self):
            return metrics_of(merge([one]))

        def describe(self):
            return ()

    registry = CollectorRegistry()
    registry.register(Once())
    again = read(generate_latest(registry).decode())
    assert {name: family.samples for name, family in again.items()} == {name: family.samples for name, family in one.items()}


def test_what_an_ended_worker_counted_stays_and_its_gauges_go() -> None:
    past = counted(exposed(10, waiting=9, ready=0, score=(0.5,)))
    whole = merge([exposed(1, score=(1.5, 1.5))], (past,))
    assert total(whole, "knockguard_rows_total") == 11
    assert total(whole, "knockguard_queued_rows") == 0
    assert total(whole, "knockguard_model_ready") == 1
    assert total(whole, "knockguard_score_count") == 3
    assert total(merge([], (past,)), "knockguard_rows_total") == 10
    # The folded past of two is the past.
    assert total(merge([], (merge((past, past)),)), "knockguard_rows_total") == 20


def test_scores_between_other_edges_are_not_added_up() -> None:
    new, old = exposed(1, score=(0.5,), edges=(1, 2)), exposed(1, score=(0.5, 0.6), edges=(1, 3))
    for whole in (merge([new, old]), merge([new], (counted(old),))):
        assert total(whole, "knockguard_score_count") == 1
        assert total(whole, "knockguard_score_bucket", le="3.0") is None
    assert total(merge([], (counted(old),)), "knockguard_score_count") is None  # its bundle is live nowhere


def test_every_gauge_of_the_gateway_has_a_rule() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    gauges = {metric.name for metric in registry.collect() if metric.type == "gauge"}
    assert gauges == GAUGES.keys()


def test_evidence_of_workers_is_that_of_all_their_scores() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=800), rng.normal(loc=1.0, size=200)]

    def item(scores: np.ndarray, since: float) -> pb.EvidenceResponse.Item:
        quantiles = np.quantile(scores, QUANTILES).tolist()
        n = len(scores)
        return pb.EvidenceResponse.Item(
            tenant="shop",
            rows=n,
            flagged=3,
            since=since,
            last=since + 5,
            recent_rows=n,
            recent_flagged=2,
            recent_quantiles=quantiles,
        )

    whole = together([item(part, since) for part, since in zip(parts, (7.0, 4.0), strict=True)])
    assert (whole.tenant, whole.rows, whole.flagged, whole.since, whole.last) == ("shop", 1000, 6, 4.0, 12.0)
    assert (whole.recent_rows, whole.recent_flagged) == (1000, 4)
    together_truly = np.quantile(np.concatenate(parts), QUANTILES)
    np.testing.assert_allclose(whole.recent_quantiles[1:-1], together_truly[1:-1], atol=0.25)  # 95 % lies far from 100 %
    np.testing.assert_allclose([whole.recent_quantiles[0], whole.recent_quantiles[-1]], together_truly[[0, -1]])
    assert not together([pb.EvidenceResponse.Item(rows=1), pb.EvidenceResponse.Item(rows=2)]).recent_quantiles


@pytest.mark.parametrize(
    ("outcomes", "gravely"), [(("unchanged", "accepted"), "accepted"), (("accepted", "rejected"), "rejected")]
)
def test_outcome_that_must_be_heard_of_is_told(outcomes: tuple[str, ...], gravely: str) -> None:
    answers = [pb.ReloadResponse(outcomes=[pb.ReloadResponse.Outcome(model="m", outcome=o)]) for o in outcomes]
    for order in (answers, answers[::-1]):
        assert [o.outcome for o in gravest(order).outcomes] == [gravely]


def test_dependency_of_workers_is_in_the_worst_state_that_one_finds_it_in() -> None:
    def seen(state: str, openings: int, **faults: int) -> list[pb.Dependency]:
        return [pb.Dependency(name="upstream", model="tiny", version="3", state=state, openings=openings, faults=faults)]

    for answers in ([seen("closed", 1, error=2), seen("open", 2, error=1, timeout=4)], [seen("open", 3, error=3, timeout=4)]):
        (whole,) = worst_dependencies(answers)
        assert (whole.name, whole.state, whole.openings) == ("upstream", "open", 3)
        assert dict(whole.faults) == {"error": 3, "timeout": 4}
    assert worst_dependencies([seen("half-open", 0), seen("closed", 0)])[0].state == "half-open"
    assert worst_dependencies([[], []]) == []


def test_drift_of_workers_is_the_largest_of_each_detector() -> None:
    def seen(**psi: float) -> list[pb.Drift]:
        return [pb.Drift(model="tiny", version="3", detector=name, psi=value) for name, value in psi.items()]

    found = farthest_drifts([seen(linear=0.1, energy=0.5), seen(linear=0.3, energy=0.2), []])
    assert {drift.detector: drift.psi for drift in found} == {"linear": 0.3, "energy": 0.5}
