"""The audit log: every decision as a line in a folder, written by a thread of its own, bounded, rotated, and whole on SIGTERM.

What is promised: a line reaches the operating system as soon as the thread gets to it, and the disk within `sync_s`, at a
rotation and at the end. The hot path never waits for a disk: what the queue cannot hold, or the disk does not take, is dropped
and counted.
"""

import os
import secrets
import threading
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from time import monotonic

import structlog
from prometheus_client import Counter

from grpc_api.operator_settings import AuditSettings
from grpc_api.telemetry import Metrics
from guard.decision_log import OPEN_SUFFIX, SUFFIX, Decided
from guard.errors import ConfigError

log = structlog.get_logger()

_BATCH = 256  # requests written between two looks at the clock


class AuditLog:
    """Writes `decisions-TIME-TOKEN.jsonl` files; the one that is written to has the suffix `.part`."""

    def __init__(self, folder: Path, metrics: Metrics, limits: AuditSettings) -> None:
        """Begin; ConfigError if the folder cannot be made or written to."""
        _make(folder)
        self._folder = folder
        self._limits = limits
        self._written = metrics.audit_rows
        self._full, self._failed = (metrics.audit_dropped.labels(reason) for reason in ("full", "disk"))
        metrics.audit_queued.set_function(lambda: self._rows)
        self._queue: deque[Decided] = deque()
        self._rows = 0
        self._changed = threading.Condition()
        self._closing = False
        self._file: _File | None = None
        self._broken = False
        self.n_written = self.n_dropped = 0  # rows
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def decided(self, decided: Decided) -> None:
        """Take one request's rows, or drop and count them if the queue is full; never waits for the disk."""
        n_rows = len(decided.decision.actions)
        if not n_rows:
            return
        with self._changed:
            if self._rows + n_rows > self._limits.max_queue_rows or self._closing:
                self._lose(n_rows, self._full)
                return
            self._queue.append(decided)
            self._rows += n_rows
            self._changed.notify()

    def close(self) -> None:
        """Write what is queued, bring it to the disk, and end. Whatever is decided later is dropped and counted."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._queue and not self._closing:
                    self._changed.wait(self._limits.sync_s)
                taken = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
                last = self._closing and not taken
            self._attempt(taken, last=last)
            with self._changed:
                self._rows -= sum(len(d.decision.actions) for d in taken)
            if last:
                return

    def _attempt(self, taken: list[Decided], *, last: bool) -> None:
        n_rows = sum(len(d.decision.actions) for d in taken)
        try:
            if taken:
                if self._file is None:
                    self._file = _File(self._folder)
                self._file.write("".join(d.lines() for d in taken).encode())
                self._written.inc(n_rows)
                self.n_written += n_rows
                n_rows = 0
            self._keep_house(last)
            if self._broken and taken:
                self._broken = False
                log.info("audit_resumed")
        except Exception as error:  # a full disk, or our own fault: neither may end the thread, nor be told at every line
            with self._changed:
                self._lose(n_rows, self._failed)
            if self._file is not None:  # its last line may be half there: another file, so that no line is spoilt by it
                self._file.abandon()
                self._file = None
            if not self._broken:
                self._broken = True
                log.error("audit_failed", reason=str(error), advice="decisions are dropped and counted until it is mended")

    def _lose(self, n_rows: int, reason: Counter) -> None:
        reason.inc(n_rows)
        self.n_dropped += n_rows

    def _keep_house(self, last: bool) -> None:
        """Close a file that is large or old enough, or bring its lines to the disk when they have waited long enough."""
        file, limits = self._file, self._limits
        if file is None:
            return
        if last or file.n_bytes >= limits.max_file_mib * (1 << 20) or file.age_s >= limits.max_file_minutes * 60:
            self._file = None
            file.finish()
        elif file.unsynced_s >= limits.sync_s:
            file.sync()


class _File:
    """One file, from its first line to its final name."""

    def __init__(self, folder: Path) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3]
        name = f"decisions-{stamp}Z-{secrets.token_hex(4)}"
        self._part, self._final = folder / f"{name}{OPEN_SUFFIX}", folder / f"{name}{SUFFIX}"
        # Unbuffered, and its owner's alone: it says who is flagged.
        self._raw = FileIO(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600), "w")
        self._begun = monotonic()
        self._unsynced: float | None = None
        self.n_bytes = 0

    @property
    def age_s(self) -> float:
        return monotonic() - self._begun

    @property
    def unsynced_s(self) -> float:
        """How long the oldest line has waited to be on the disk for sure."""
        return 0.0 if self._unsynced is None else monotonic() - self._unsynced

    def write(self, content: bytes) -> None:
        left = memoryview(content)
        while left:  # a full disk takes a part before it refuses
            left = left[self._raw.write(left) or 0 :]
        self.n_bytes += len(content)
        self._unsynced = self._unsynced or monotonic()

    def sync(self) -> None:
        os.fsync(self._raw.fileno())
        self._unsynced = None

    def finish(self) -> None:
        """Bring it to the disk and give it its name, for good."""
        self.sync()
        self._raw.close()
        self._part.rename(self._final)
        handle = os.open(self._final.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def abandon(self) -> None:
        """Leave it as it is, under the name of a file that is not whole."""
        with suppress(OSError):
            self._raw.close()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        reason = None if os.access(folder, os.W_OK | os.X_OK) else "it is not ours to write to"
    except OSError as error:
        reason = error.strerror
    if reason:
        raise ConfigError(f"cannot keep an audit log in {folder}: {reason}; give --audit-log a folder that we may write to")
