"""Watch: looks at an upstream and its detector all the time, so that no caller has to find out that one is gone, or back."""

import threading
from collections.abc import Callable

import structlog

from grpc_api.backends.upstream import Upstream
from grpc_api.breaker import State
from grpc_api.dependency import Dependency
from guard.errors import KnockguardError, NotLoadedError, QuotaExceededError

log = structlog.get_logger()


class Watch:
    """A thread that trips breakers and closes them again, by questions of our own: one of each kind every `every_s` at most.

    `check_answer` and `check_scores` ask them, and raise when the answer is not what it was, or none.
    """

    def __init__(
        self,
        upstream: Upstream,
        detector: Dependency,
        check_answer: Callable[[], None],
        check_scores: Callable[[], None],
        *,
        every_s: float,
    ) -> None:
        self._why_not = upstream.why_not
        self._upstream = upstream.health
        self._detector = detector
        self._check_answer = check_answer
        self._check_scores = check_scores
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)

    def first_look(self) -> None:
        """Trip what is not there yet; raises what the checks raise where it is, and is another than was expected."""
        try:
            self._ask_upstream()
            self._check_scores()
        except (NotLoadedError, QuotaExceededError) as error:
            self._upstream.trip(str(error))

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self._look()
            except Exception as error:  # unforeseen, and no reason to look no more
                log.error("watch_failed", exc_info=error)

    def _look(self) -> None:
        if ticket := self._upstream.probe():
            self._probe_upstream(ticket)
        elif self._upstream.state is State.CLOSED:
            self._doubt_upstream()
        if self._upstream.state is not State.CLOSED:
            return  # nothing can be said of its scores
        if ticket := self._detector.probe():
            self._probe_detector(ticket)
        elif self._detector.suspected():
            self._doubt_detector()

    def _probe_upstream(self, ticket: int) -> None:
        try:
            self._ask_upstream()
        except KnockguardError as error:
            self._upstream.still_away(ticket, str(error))
            return
        self._doubt_detector()  # before the first query: what came back may be another model
        self._upstream.succeeded(ticket)

    def _probe_detector(self, ticket: int) -> None:
        try:
            self._check_scores()
        except KnockguardError as error:
            self._detector.still_away(ticket, str(error))
            return
        self._detector.succeeded(ticket)

    def _doubt_upstream(self) -> None:
        if reason := self._why_not():
            self._upstream.trip(reason)
        elif self._upstream.suspected():
            try:
                self._check_answer()
            except QuotaExceededError:
                self._upstream.suspect()  # it lives, and says no more than that
            except KnockguardError as error:
                self._upstream.trip(str(error))

    def _doubt_detector(self) -> None:
        try:
            self._check_scores()
        except (NotLoadedError, QuotaExceededError):
            self._detector.suspect()  # that is the upstream
        except KnockguardError as error:
            self._detector.trip(str(error))

    def _ask_upstream(self) -> None:
        if reason := self._why_not():
            raise NotLoadedError(reason)
        self._check_answer()
