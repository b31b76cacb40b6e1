"""The breaker's promises, whatever is told to it and in whatever order."""

import threading

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from grpc_api.breaker import Breaker, Patience, State

PATIENCE = Patience(failures=3, first_s=1.0, longest_s=4.0)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened() -> tuple[Breaker, Clock]:
    clock = Clock()
    breaker = Breaker(PATIENCE, clock=clock)
    for _ in range(PATIENCE.failures):
        breaker.failed(breaker.enter() or 0)
    assert breaker.state is State.OPEN
    return breaker, clock


def test_failures_in_a_row_open_it_and_others_do_not() -> None:
    breaker = Breaker(PATIENCE, clock=Clock())
    for _ in range(10):
        for _ in range(PATIENCE.failures - 1):
            breaker.failed(breaker.enter() or 0)
        breaker.succeeded(breaker.enter() or 0)
    assert breaker.state is State.CLOSED
    assert breaker.retry_after_s == 0.0


def test_open_one_lets_no_call_through_and_says_when_to_come_back() -> None:
    breaker, clock = opened()
    assert breaker.enter() is None
    assert breaker.probe() is None
    assert breaker.retry_after_s == 1.0
    clock.now += 1.0
    assert breaker.enter() is None  # a caller is no probe


def test_probe_that_succeeds_closes_it_and_one_that_fails_doubles_the_wait_up_to_the_longest() -> None:
    breaker, clock = opened()
    for waited in (1.0, 2.0, 4.0, 4.0):
        clock.now += waited - 0.01
        assert breaker.probe() is None
        clock.now += 0.01
        ticket = breaker.probe()
        assert ticket
        assert breaker.probe() is None  # one at a time
        assert breaker.retry_after_s == 1.0
        breaker.failed(ticket)
        assert breaker.state is State.OPEN
    clock.now += 4.0
    breaker.succeeded(breaker.probe() or 0)
    assert breaker.state is State.CLOSED
    assert breaker.enter()
    breaker.trip()
    assert breaker.retry_after_s == 1.0  # from the beginning again


def test_probe_that_never_tells_is_followed_by_another() -> None:
    breaker, clock = opened()
    clock.now += 1.0
    lost = breaker.probe()
    clock.now += PATIENCE.longest_s
    ticket = breaker.probe()
    assert ticket != lost
    breaker.succeeded(lost or 0)
    assert breaker.state is State.HALF_OPEN
    breaker.succeeded(ticket or 0)
    assert breaker.state is State.CLOSED


def test_late_answer_of_an_earlier_time_neither_opens_nor_closes_it() -> None:
    clock = Clock()
    breaker = Breaker(PATIENCE, clock=clock)
    late = breaker.enter() or 0
    breaker.trip()
    breaker.succeeded(late)
    assert breaker.state is State.OPEN
    clock.now += 1.0
    breaker.succeeded(breaker.probe() or 0)
    for _ in range(5):
        breaker.failed(late)
    assert breaker.state is State.CLOSED


def test_each_change_is_told_once_also_when_many_threads_fail_together() -> None:
    told: list[State] = []
    breaker = Breaker(Patience(failures=5), on_change=told.append)
    tickets = [breaker.enter() or 0 for _ in range(64)]
    threads = [threading.Thread(target=breaker.failed, args=(ticket,)) for ticket in tickets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [State.OPEN]


class AnyOrder(RuleBasedStateMachine):
    """Calls, probes and outcomes in any order; tickets may be told late, twice or never."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.told: list[State] = []
        self.breaker = Breaker(PATIENCE, on_change=self.told.append, clock=self.clock)
        self.tickets: list[int] = []

    @rule(seconds=st.floats(0.0, 5.0))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def call(self) -> None:
        ticket = self.breaker.enter()
        assert (ticket is not None) == (self.breaker.state is State.CLOSED)
        if ticket is not None:
            self.tickets.append(ticket)

    @rule()
    def probe(self) -> None:
        ticket = self.breaker.probe()
        assert (ticket is None) or self.breaker.state is State.HALF_OPEN
        if ticket is not None:
            self.tickets.append(ticket)

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), good=st.booleans())
    def tell(self, data: st.DataObject, good: bool) -> None:
        ticket = data.draw(st.sampled_from(self.tickets))
        (self.breaker.succeeded if good else self.breaker.failed)(ticket)

    @rule()
    def trip(self) -> None:
        self.breaker.trip()

    @invariant()
    def waits_are_bounded(self) -> None:
        assert 0.0 <= self.breaker.retry_after_s <= PATIENCE.longest_s
        assert (self.breaker.retry_after_s == 0.0) == (self.breaker.state is State.CLOSED)

    @invariant()
    def changes_follow_the_circle(self) -> None:
        after = {State.CLOSED: {State.OPEN}, State.OPEN: {State.HALF_OPEN}, State.HALF_OPEN: set(State)}
        steps = [State.CLOSED, *self.told]
        assert all(later in after[earlier] for earlier, later in zip(steps, self.told, strict=False))
        assert self.breaker.state is steps[-1]


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase
