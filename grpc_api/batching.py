"""Dynamic batching: rows of many requests through one inference, and every request its own result or its own error."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Generic, TypeVar

from guard.errors import DeadlineError, NotLoadedError, QuotaExceededError
from guard.types import Floats

R = TypeVar("R")

_RETRY_AFTER_S = 0.5


@dataclass(slots=True)
class Job(Generic[R]):
    """One request in the queue. `deadline` and `queued` are on `perf_counter`'s clock, in seconds."""

    inputs: Floats
    tenant: str
    deadline: float
    result: "asyncio.Future[R]"
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
    that one bad request never spoils its neighbours.
    """

    def __init__(self, work: Callable[[Sequence[Job[R]]], Sequence[R | Exception]], limits: Limits) -> None:
        self._work = work
        self._limits = limits
        self._jobs: deque[Job[R]] = deque()
        self._rows = 0
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")
        self._runner = asyncio.create_task(self._run())

    @property
    def queued_rows(self) -> int:
        """How many rows wait."""
        return self._rows

    async def submit(self, inputs: Floats, *, tenant: str, timeout_s: float | None) -> R:
        """Return the result for one request's rows.

        QuotaExceededError when the queue is full, DeadlineError when `timeout_s` passed first; late work is dropped, not done.
        """
        if self._runner.done():
            raise NotLoadedError("the gateway is shutting down; ask another replica")
        if self._rows + len(inputs) > self._limits.max_queue_rows:
            raise QuotaExceededError(
                f"{self._rows} rows are waiting and {self._limits.max_queue_rows} may; try again shortly",
                retry_after_s=_RETRY_AFTER_S,
            )
        deadline = float("inf") if timeout_s is None else perf_counter() + timeout_s
        job: Job[R] = Job(inputs, tenant, deadline, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._rows += len(inputs)
        self._arrived.set()
        if self._rows >= self._limits.max_rows:
            self._full.set()
        return await job.result

    async def close(self) -> None:
        """Finish what is queued, then stop."""
        while self._jobs:
            await asyncio.sleep(0.01)
        self._runner.cancel()
        await asyncio.gather(self._runner, return_exceptions=True)
        self._thread.shutdown(wait=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            if self._limits.max_delay_s and not self._full.is_set():
                wait_s = max(0.0, self._jobs[0].queued + self._limits.max_delay_s - perf_counter())
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._full.wait(), wait_s)
            jobs = self._take()
            if jobs:
                # Shielded: a batch that has started is answered even when the gateway is told to stop.
                await asyncio.shield(loop.run_in_executor(self._thread, self._attempt, jobs, loop))

    def _take(self) -> list[Job[R]]:
        """Return the next batch; jobs whose caller left or whose deadline passed are dropped."""
        jobs: list[Job[R]] = []
        rows = 0
        now = perf_counter()
        while self._jobs and (not jobs or rows + len(self._jobs[0].inputs) <= self._limits.max_rows):
            job = self._jobs.popleft()
            self._rows -= len(job.inputs)
            if job.result.done():
                continue
            if now > job.deadline:
                job.result.set_exception(DeadlineError("the deadline passed in the queue; allow more time or ask less at once"))
                continue
            jobs.append(job)
            rows += len(job.inputs)
        if not self._jobs:
            self._arrived.clear()
        if self._rows < self._limits.max_rows:
            self._full.clear()
        return jobs

    def _attempt(self, jobs: Sequence[Job[R]], loop: asyncio.AbstractEventLoop) -> None:
        """Runs in the thread: work, and hand every job its result or its error."""
        try:
            outcomes = self._work(jobs)
        except Exception as error:
            outcomes = [error] if len(jobs) == 1 else [self._alone(job) for job in jobs]
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
