"""Circuit breaker: a dependency that keeps failing is left alone for a while, and found again by probes that are few.

Source: Nygard, "Release It!"; that time grows with every probe that fails, and that late answers count for nothing, is ours.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic


class State(StrEnum):
    """Where a breaker stands. Closed: it is a metric's label."""

    CLOSED = "closed"  # all is well: calls go through
    OPEN = "open"  # calls are not made
    HALF_OPEN = "half-open"  # one probe is under way, and calls are not made


@dataclass(frozen=True, slots=True)
class Patience:
    """Failures in a row that open a breaker, and seconds until the first probe; that time doubles up to `longest_s`."""

    failures: int = 5
    first_s: float = 1.0
    longest_s: float = 30.0


class Breaker:
    """Counts what became of calls to one dependency; any thread may ask and tell.

    A call: `ticket = enter()`; None means that it must not be made. Then `succeeded(ticket)`, `failed(ticket)`, or nothing when
    the call says nothing of the dependency, such as a caller who left. A probe is a call by `probe()`'s ticket; where nobody but
    callers can probe, `enter() or probe()`. What is told of a call that began before the breaker last changed counts for nothing.
    """

    def __init__(
        self,
        patience: Patience,
        *,
        on_change: Callable[[State], object] = lambda _state: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`on_change` hears each new state, inside the breaker's own lock: it must be quick, and ask nothing of the breaker."""
        self._patience = patience
        self._on_change = on_change
        self._clock = clock
        self._lock = threading.Lock()
        self._state = State.CLOSED
        self._failures = 0  # in a row
        self._openings = 0  # since it was last closed
        self._due = 0.0
        self._era = 1  # never 0: a ticket is true

    @property
    def state(self) -> State:
        return self._state

    @property
    def retry_after_s(self) -> float:
        """Seconds until it is worth asking again: 0 while closed."""
        with self._lock:
            if self._state is State.CLOSED:
                return 0.0
            left_s = self._due - self._clock() if self._state is State.OPEN else 0.0
            return max(left_s, self._patience.first_s)

    def enter(self) -> int | None:
        """Return a ticket for a call, or None where it must not be made. Takes no lock: all is well most of the time."""
        era = self._era
        return era if self._state is State.CLOSED else None

    def probe(self) -> int | None:
        """Return a ticket for a probe if one is due, else None: none while closed, and one at a time.

        Of a probe that told nothing for `longest_s` nothing is awaited any more.
        """
        with self._lock:
            if self._state is State.CLOSED or self._clock() < self._due:
                return None
            self._due = self._clock() + self._patience.longest_s
            self._become(State.HALF_OPEN)
            return self._era

    def succeeded(self, ticket: int) -> None:
        """A call or probe got its answer: failures in a row end, and a probe closes the breaker."""
        if not self._failures and self._state is State.CLOSED:
            return
        with self._lock:
            if ticket == self._era:
                self._failures = 0
                if self._state is State.HALF_OPEN:
                    self._openings = 0
                    self._become(State.CLOSED)

    def failed(self, ticket: int) -> None:
        """A call or probe failed by the dependency's own fault; one too many, and any probe, opens the breaker."""
        with self._lock:
            if ticket == self._era:
                self._failures += 1
                if self._state is State.HALF_OPEN or self._failures >= self._patience.failures:
                    self._open()

    def trip(self) -> None:
        """Open at once: it is known that nothing comes of it."""
        with self._lock:
            if self._state is State.CLOSED:
                self._open()

    def _open(self) -> None:
        wait_s = min(self._patience.first_s * 2.0 ** min(self._openings, 32), self._patience.longest_s)
        self._openings += 1
        self._failures = 0
        self._due = self._clock() + wait_s
        self._become(State.OPEN)

    def _become(self, state: State) -> None:
        self._era += 1
        self._state = state
        self._on_change(state)
