"""A dependency: something that answers depend on and that may fail. Its breaker, what is done without it, and its faults."""

import threading
from collections import Counter
from enum import StrEnum

import structlog

from grpc_api.breaker import Breaker, Patience, State
from grpc_api.failing import FailMode
from guard.errors import NotLoadedError

log = structlog.get_logger()
_PATIENCE = Patience()


class Fault(StrEnum):
    """How a dependency fails. Closed: it is a metric's label."""

    ERROR = "error"  # it is not there, or says that it failed
    TIMEOUT = "timeout"  # it did not answer within its own time
    GARBAGE = "garbage"  # its answer is none


class Dependency:
    """How one dependency does; any thread may ask and tell.

    What a caller may bring about, such as an input that is refused or a deadline that is too short, is no fault: else callers
    could open the breaker for everybody. It is a suspicion, and who watches the dependency then asks it a question of his own.
    """

    def __init__(self, name: str, patience: Patience = _PATIENCE, *, mode: FailMode = FailMode.CLOSED, **about: str) -> None:
        """`name` is a metric's label, from a closed set; `about` stands in the log beside it."""
        self.name = name
        self.mode = mode
        self.faults: Counter[Fault] = Counter()
        self.openings = 0  # probes that failed are not counted
        self._about = about
        self._reason = ""
        self._suspected = False
        self._lost = False
        self._lock = threading.Lock()
        self._breaker = Breaker(patience, on_change=self._changed)
        self.enter, self.probe = self._breaker.enter, self._breaker.probe
        self.succeeded = self._breaker.succeeded

    @property
    def state(self) -> State:
        return self._breaker.state

    @property
    def retry_after_s(self) -> float:
        """Seconds until it is worth asking again: 0 while closed."""
        return self._breaker.retry_after_s

    @property
    def lets_through(self) -> bool:
        """Whether queries are answered now, with it or without."""
        return self.state is State.CLOSED or self.mode is FailMode.OPEN

    def failed(self, fault: Fault, ticket: int | None, reason: str = "") -> None:
        """Count a fault; without a ticket, a probe's, nothing follows from it yet. `reason` is for the log alone."""
        with self._lock:
            self.faults[fault] += 1
        if ticket is not None:
            self.suspect()
            self.still_away(ticket, reason or fault.value)

    def still_away(self, ticket: int, reason: str) -> None:
        """A call or a probe was in vain, and what went wrong is counted already, or not worth it."""
        self._reason = reason
        self._breaker.failed(ticket)

    def trip(self, reason: str) -> None:
        """Leave it alone from now on: it is known that it does not answer."""
        self._reason = reason
        self._breaker.trip()

    def suspect(self) -> None:
        """Note that something went wrong which may be its fault or the caller's."""
        self._suspected = True

    def suspected(self) -> bool:
        """Whether there was a suspicion since this was last asked."""
        found, self._suspected = self._suspected, False
        return found

    def away(self) -> NotLoadedError:
        """Return what callers hear while it is left alone; which dependency it is, is none of their business."""
        return NotLoadedError("the model is not there now; try again shortly", retry_after_s=self.retry_after_s)

    def _changed(self, state: State) -> None:
        if state is State.CLOSED:
            self._lost = False
            log.info("dependency_back", dependency=self.name, **self._about)
        elif state is State.OPEN and not self._lost:
            self._lost = True
            self.openings += 1
            log.error("dependency_lost", dependency=self.name, mode=self.mode.value, reason=self._reason, **self._about)
