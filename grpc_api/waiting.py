"""Waiting: until when somebody waits for a result, and whether they still do; an event loop tells the thread at work for them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf, isfinite
from time import perf_counter


class Waiting:
    """Whose result it is waits, or has left; `leave` comes from another thread than what it calls off."""

    def __init__(self, deadline: float = inf) -> None:
        """`deadline` is on `perf_counter`'s clock, in seconds."""
        self.deadline = deadline
        self._gone = False
        self._call_off: Callable[[], object] | None = None

    @classmethod
    def of(cls, timeout_s: float | None) -> "Waiting":
        """Somebody who waits so long from now on, or as long as it takes."""
        return cls(inf if timeout_s is None else perf_counter() + timeout_s)

    @property
    def left_s(self) -> float | None:
        """Seconds until the deadline, negative once it passed; None if there is none."""
        return self.deadline - perf_counter() if isfinite(self.deadline) else None

    @property
    def gone(self) -> bool:
        """Whether nobody waits any more."""
        return self._gone

    def leave(self) -> None:
        """Nobody waits any more: what is under way is called off."""
        self._gone = True
        if (call_off := self._call_off) is not None:
            call_off()

    @contextmanager
    def calling_off(self, call_off: Callable[[], object]) -> Iterator[None]:
        """Inside, `call_off` is called when nobody waits any more, at once if that is so already; it may be called twice."""
        # Each thread writes its own before it reads the other's, here and in `leave`: so one of them sees both.
        self._call_off = call_off
        try:
            if self._gone:
                call_off()
            yield
        finally:
            self._call_off = None
