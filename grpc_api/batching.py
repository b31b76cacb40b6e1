"""Dynamic batching: rows of many requests through one inference, and every request its own result or its own error."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Generic, TypeVar

import structlog

from grpc_api.waiting import Waiting
from guard.errors import BackendError, DeadlineError, NotLoadedError, QuotaExceededError
from guard.types import Floats

R = TypeVar("R")
log = structlog.get_logger()

_RETRY_AFTER_S = 0.5


@dataclass(slots=True, eq=False)
class Job(Generic[R]):
    """One request in the queue; `queued` is on `perf_counter`'s clock, in seconds."""

    inputs: Floats
    tenant: str
    result: "asyncio.Future[R]"
    waiting: Waiting = field(default_factory=Waiting)
    queued: float = field(default_factory=perf_counter)


@dataclass(frozen=True, slots=True)
class Limits:
    """Rows of a batch (one request may be larger), seconds that a batch which is not full waits, and rows that may queue."""

    max_rows: int = 32
    max_delay_s: float = 0.0
    max_queue_rows: int = 1024


class Batcher(Generic[R]):
    """Collects jobs while the model is busy, and runs them together in a thread of its own.

    `work` takes jobs and returns a result or an error for each. When it fails for several jobs at once, each is run alone, so
    that one bad request never spoils its neighbours. `on_queue` hears how many rows wait, whenever that changes.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Job[R]]], Sequence[R | Exception]],
        limits: Limits,
        *,
        on_queue: Callable[[int], object] = lambda _rows: None,
    ) -> None:
        self._work = work
        self._limits = limits
        self._on_queue = on_queue
        self._jobs: deque[Job[R]] = deque()
        self._batch: list[Job[R]] = []  # under way
        self._rows = 0
        self._closing = False
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")
        self._runner = asyncio.create_task(self._run())
        self._runner.add_done_callback(self._ended)

    @property
    def queued_rows(self) -> int:
        """How many rows wait."""
        return self._rows

    async def submit(self, inputs: Floats, *, tenant: str, timeout_s: float | None) -> R:
        """Return the result for one request's rows.

        QuotaExceededError when the queue is full, DeadlineError when `timeout_s` passed first. Work whose caller left, or whose
        time is up, gives its place in the queue back at once, and is not done.
        """
        if self._closing or self._runner.done():
            raise NotLoadedError("the gateway is shutting down; ask another replica")
        if self._rows + len(inputs) > self._limits.max_queue_rows:
            raise QuotaExceededError(
                f"{self._rows} rows are waiting and {self._limits.max_queue_rows} may; try again shortly",
                retry_after_s=_RETRY_AFTER_S,
            )
        job: Job[R] = Job(inputs, tenant, asyncio.get_running_loop().create_future(), Waiting.of(timeout_s))
        self._jobs.append(job)
        self._count(len(inputs))
        try:
            async with asyncio.timeout(timeout_s) as scope:
                return await job.result
        except TimeoutError:
            if not scope.expired():  # the work's own
                raise
            raise DeadlineError("the deadline passed in the queue; allow more time or ask less at once") from None
        finally:
            if job.result.cancelled():  # the caller left, or its time is up
                self._leave(job)

    async def close(self) -> None:
        """Finish what is queued, then stop; what a runner that failed has left gets NotLoadedError."""
        self._closing = True
        self._full.set()  # nobody new comes: what waits for company goes now
        self._arrived.set()
        await asyncio.wait((self._runner,))
        self._thread.shutdown(wait=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._jobs or not self._closing:
            await self._arrived.wait()
            if self._jobs and self._limits.max_delay_s and not self._full.is_set():
                wait_s = max(0.0, self._jobs[0].queued + self._limits.max_delay_s - perf_counter())
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._full.wait(), wait_s)
            self._batch = self._take()
            if self._batch:
                # Shielded: a batch that has started is answered even when the gateway is told to stop.
                await asyncio.shield(loop.run_in_executor(self._thread, self._attempt, self._batch, loop))

    def _take(self) -> list[Job[R]]:
        """Return the next batch; empty when all who waited have left."""
        jobs: list[Job[R]] = []
        rows = 0
        while self._jobs and (not jobs or rows + len(self._jobs[0].inputs) <= self._limits.max_rows):
            job = self._jobs.popleft()
            jobs.append(job)
            rows += len(job.inputs)
        self._count(-rows)
        return jobs

    def _leave(self, job: Job[R]) -> None:
        with suppress(ValueError):  # its batch has started
            self._jobs.remove(job)
            self._count(-len(job.inputs))

    def _count(self, rows: int) -> None:
        """Note that so many rows came, or went; wake the runner as needed."""
        self._rows += rows
        self._on_queue(self._rows)
        for event, wanted in (
            (self._arrived, bool(self._jobs) or self._closing),
            (self._full, self._rows >= self._limits.max_rows or self._closing),
        ):
            if wanted:
                event.set()
            else:
                event.clear()

    def _ended(self, runner: "asyncio.Task[None]") -> None:
        """Nobody is left waiting for a runner that is gone."""
        error = None if runner.cancelled() else runner.exception()
        for job in (*self._batch, *self._jobs):
            if not job.result.done():
                job.result.set_exception(NotLoadedError("the gateway is shutting down; ask another replica"))
        self._jobs.clear()
        self._rows = 0
        if error is not None:
            log.critical("batcher_failed", exc_info=error)

    def _attempt(self, jobs: Sequence[Job[R]], loop: asyncio.AbstractEventLoop) -> None:
        """Runs in the thread: work, and hand every job its result or its error."""
        try:
            outcomes = self._work(jobs)
        except Exception as error:
            outcomes = [error] if len(jobs) == 1 else [self._alone(job) for job in jobs]
        if len(outcomes) != len(jobs):
            outcomes = [BackendError(f"{len(jobs)} requests went in and {len(outcomes)} results came out")] * len(jobs)
        loop.call_soon_threadsafe(_deliver, jobs, outcomes)

    def _alone(self, job: Job[R]) -> R | Exception:
        try:
            return self._work([job])[0]
        except Exception as error:
            return error


def _deliver(jobs: Sequence[Job[R]], outcomes: Sequence[R | Exception]) -> None:
    for job, outcome in zip(jobs, outcomes, strict=True):
        if job.result.done():  # the caller left meanwhile
            continue
        if isinstance(outcome, Exception):
            job.result.set_exception(outcome)
        else:
            job.result.set_result(outcome)
