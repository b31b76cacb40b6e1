"""Lanes: each request runs on its own, many at once. For a model on another machine, which batches what it gets by itself."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from grpc_api.batching import Job, Limits
from grpc_api.waiting import Waiting
from guard.errors import DeadlineError, NotLoadedError, QuotaExceededError
from guard.types import Floats

R = TypeVar("R")

N_LANES = 64
_RETRY_AFTER_S = 0.5


class Lanes(Generic[R]):
    """A batcher that does not batch: the same calls, the same bound on rows that wait, and threads that mostly wait.

    Work that nobody waits for any more is told so, and its rows count until its thread is free.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Job[R]]], Sequence[R | Exception]],
        limits: Limits,
        *,
        on_queue: Callable[[int], object] = lambda _rows: None,
    ) -> None:
        """`work` gets one job at a time and returns its result or its error; `on_queue` hears how many rows are here."""
        self._work = work
        self._max_rows = limits.max_queue_rows
        self._on_queue = on_queue
        self._rows = 0
        self._closing = False
        self._threads = ThreadPoolExecutor(N_LANES, thread_name_prefix="upstream")

    @property
    def queued_rows(self) -> int:
        """How many rows wait or are at work."""
        return self._rows

    async def submit(self, inputs: Floats, *, tenant: str, timeout_s: float | None) -> R:
        """Return the result for one request's rows; QuotaExceededError when too many wait, DeadlineError when it is too late."""
        if self._closing:
            raise NotLoadedError("the gateway is shutting down; ask another replica")
        if self._rows + len(inputs) > self._max_rows:
            raise QuotaExceededError(
                f"{self._rows} rows are waiting and {self._max_rows} may; try again shortly", retry_after_s=_RETRY_AFTER_S
            )
        loop = asyncio.get_running_loop()
        job: Job[R] = Job(inputs, tenant, loop.create_future(), Waiting.of(timeout_s))
        self._count(len(inputs))
        work = self._threads.submit(self._run, job)
        work.add_done_callback(lambda _work: loop.call_soon_threadsafe(self._count, -len(inputs)))
        try:
            async with asyncio.timeout(timeout_s) as scope:
                return await asyncio.wrap_future(work)
        except TimeoutError:
            if not scope.expired():  # the work's own
                raise
            raise DeadlineError("the deadline passed before the model answered; allow more time or ask less at once") from None
        finally:
            job.waiting.leave()

    async def close(self) -> None:
        """Finish what is under way, then stop."""
        self._closing = True
        await asyncio.to_thread(self._threads.shutdown, wait=True)

    def _count(self, rows: int) -> None:
        self._rows += rows
        self._on_queue(self._rows)

    def _run(self, job: Job[R]) -> R:
        outcome = self._work([job])[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome
