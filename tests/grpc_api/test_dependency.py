"""What is told of a dependency: in the metrics, in the log, and to callers."""

from prometheus_client import CollectorRegistry, generate_latest

from grpc_api.breaker import Patience, State
from grpc_api.dependency import Dependency, Fault
from grpc_api.dependency_metrics import DependencyMetrics
from grpc_api.failing import FailMode

BASE = {"dependency": "detector", "model": "tiny", "version": "3"}


def test_metrics_hold_every_state_and_fault_from_the_beginning_and_forget_what_is_gone() -> None:
    registry = CollectorRegistry()
    metrics = DependencyMetrics(registry)
    dependency = Dependency("detector", Patience(failures=2), mode=FailMode.OPEN)
    metrics.watch("tiny", "3", (dependency,))

    def state(name: str) -> float | None:
        return registry.get_sample_value("knockguard_breaker_state", {**BASE, "mode": "fail-open", "state": name})

    def faults(name: str) -> float | None:
        return registry.get_sample_value("knockguard_dependency_faults_total", {**BASE, "fault": name})

    assert [state(s) for s in State] == [1.0, 0.0, 0.0]
    assert [faults(f) for f in Fault] == [0.0, 0.0, 0.0]
    for _ in range(2):
        dependency.failed(Fault.TIMEOUT, dependency.enter())
    assert [state(s) for s in State] == [0.0, 1.0, 0.0]
    assert [faults(f) for f in Fault] == [0.0, 2.0, 0.0]
    assert registry.get_sample_value("knockguard_breaker_openings_total", BASE) == 1.0
    metrics.forget("tiny", "3")
    assert b'dependency="detector"' not in generate_latest(registry)


def test_probe_that_fails_is_no_new_loss_and_a_fault_without_ticket_opens_nothing() -> None:
    dependency = Dependency("upstream", Patience(failures=1, first_s=0.0, longest_s=0.0))
    dependency.failed(Fault.ERROR, None)
    assert (dependency.state, dependency.suspected()) == (State.CLOSED, False)
    dependency.trip("gone")
    for _ in range(3):
        dependency.still_away(dependency.probe() or 0, "gone")
    assert (dependency.state, dependency.openings) == (State.OPEN, 1)
    dependency.succeeded(dependency.probe() or 0)
    dependency.trip("gone")
    assert dependency.openings == 2


def test_callers_hear_neither_which_dependency_nor_why() -> None:
    dependency = Dependency("detector", address="10.0.0.7:1")
    dependency.trip("scores of /srv/model at 10.0.0.7")
    assert str(dependency.away()) == "the model is not there now; try again shortly"
    assert not dependency.lets_through
    assert Dependency("detector", mode=FailMode.OPEN).lets_through


def test_suspicion_is_asked_for_once() -> None:
    dependency = Dependency("detector")
    dependency.suspect()
    assert [dependency.suspected(), dependency.suspected()] == [True, False]
