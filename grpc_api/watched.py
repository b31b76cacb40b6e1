"""Files that are read again when they change: keys and certificates are rotated without a restart."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Generic, TypeVar

import structlog

from guard.errors import KnockguardError

T = TypeVar("T")
log = structlog.get_logger()


class Watched(Generic[T]):
    """What `read` makes of some files. They are looked at when the value is asked for, once in a while; safe in any thread.

    What cannot be read is told once, and what was read before stands: half a file, or a slip of the hand, locks nobody out.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], T], *, every_s: float = 1.0) -> None:
        """Read for the first time; raises what `read` raises."""
        self._paths = paths
        self._read = read
        self._every_s = every_s
        self._lock = threading.Lock()
        self._seen = self._look()
        self._value = read()
        self._next = monotonic() + every_s

    @property
    def value(self) -> T:
        """What was read last."""
        if monotonic() >= self._next and self._lock.acquire(blocking=False):
            try:
                self._next = monotonic() + self._every_s
                if (seen := self._look()) != self._seen:
                    self._seen = seen
                    self._renew()
            finally:
                self._lock.release()
        return self._value

    def _renew(self) -> None:
        names = [path.name for path in self._paths]
        try:
            self._value = self._read()
        except KnockguardError as error:
            log.error("file_rejected", files=names, reason=str(error), advice="what was read before stands")
        else:
            log.info("file_reloaded", files=names)

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_state(path) for path in self._paths)


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
