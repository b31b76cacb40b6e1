"""Batches: together when busy, alone when one fails, and nothing late is worked on."""

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from grpc_api.batching import Batcher, Job, Limits
from guard.errors import BackendError, DeadlineError, NotLoadedError, QuotaExceededError

DEFAULTS = Limits()


class Doubling:
    """Work that doubles rows, remembers batch sizes, fails on a marked row, and can be held up."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, jobs: Sequence[Job[Any]]) -> Sequence[Any]:
        self.gate.wait(5)
        self.batches.append(len(jobs))
        if any((job.inputs == -1).any() for job in jobs):
            raise ValueError("a bad row")
        return [job.inputs * 2 for job in jobs]


def rows(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


async def held(work: Doubling, batcher: Batcher[Any]) -> asyncio.Task[Any]:
    """Occupy the thread, so that what comes next queues."""
    work.gate.clear()
    first = asyncio.create_task(batcher.submit(rows(0), tenant="t", timeout_s=None))
    await asyncio.sleep(0.03)
    assert batcher.queued_rows == 0
    return first


def run(scenario: Any, limits: Limits = DEFAULTS) -> Doubling:
    work = Doubling()

    async def main() -> None:
        batcher: Batcher[Any] = Batcher(work, limits)
        try:
            await scenario(work, batcher)
        finally:
            work.gate.set()
            await batcher.close()

    asyncio.run(main())
    return work


def test_requests_that_wait_are_answered_together_each_with_its_own_rows() -> None:
    async def scenario(work: Doubling, batcher: Batcher[Any]) -> None:
        first = await held(work, batcher)
        others = [asyncio.create_task(batcher.submit(rows(i, i + 0.5), tenant="t", timeout_s=None)) for i in range(1, 6)]
        await asyncio.sleep(0.01)
        work.gate.set()
        results = await asyncio.gather(first, *others)
        for i, result in enumerate(results[1:], 1):
            np.testing.assert_array_equal(result, rows(2 * i, 2 * i + 1))

    assert run(scenario).batches == [1, 5]


def test_batch_stops_at_its_limit_but_one_large_request_is_whole() -> None:
    async def scenario(work: Doubling, batcher: Batcher[Any]) -> None:
        first = await held(work, batcher)
        sizes = [3, 3, 9, 1]
        others = [asyncio.create_task(batcher.submit(rows(*range(n)), tenant="t", timeout_s=None)) for n in sizes]
        await asyncio.sleep(0.01)
        work.gate.set()
        results = await asyncio.gather(first, *others)
        assert [len(r) for r in results[1:]] == sizes

    assert run(scenario, Limits(max_rows=6)).batches == [1, 2, 1, 1]


def test_one_bad_request_never_spoils_its_neighbours() -> None:
    async def scenario(work: Doubling, batcher: Batcher[Any]) -> None:
        first = await held(work, batcher)
        others = [asyncio.create_task(batcher.submit(rows(v), tenant="t", timeout_s=None)) for v in (1, -1, 3)]
        await asyncio.sleep(0.01)
        work.gate.set()
        results = await asyncio.gather(first, *others, return_exceptions=True)
        np.testing.assert_array_equal(results[1], rows(2))
        assert isinstance(results[2], ValueError)
        np.testing.assert_array_equal(results[3], rows(6))

    run(scenario)


def test_full_queue_pushes_back_and_says_when_to_come_again() -> None:
    async def scenario(work: Doubling, batcher: Batcher[Any]) -> None:
        first = await held(work, batcher)
        second = asyncio.create_task(batcher.submit(rows(1, 2), tenant="t", timeout_s=None))
        await asyncio.sleep(0.01)
        with pytest.raises(QuotaExceededError, match="2 rows are waiting and 3 may") as caught:
            await batcher.submit(rows(1, 2), tenant="t", timeout_s=None)
        assert caught.value.retry_after_s > 0
        work.gate.set()
        await asyncio.gather(first, second)

    run(scenario, Limits(max_queue_rows=3))


def test_late_and_abandoned_work_is_dropped() -> None:
    async def scenario(work: Doubling, batcher: Batcher[Any]) -> None:
        first = await held(work, batcher)
        late = asyncio.create_task(batcher.submit(rows(1), tenant="t", timeout_s=0.01))
        left = asyncio.create_task(batcher.submit(rows(2), tenant="t", timeout_s=None))
        await asyncio.sleep(0.05)
        left.cancel()
        await asyncio.sleep(0)
        assert batcher.queued_rows == 0  # at once, while the batch before them still runs
        work.gate.set()
        await first
        with pytest.raises(DeadlineError, match="deadline passed"):
            await late
        assert batcher.queued_rows == 0

    assert run(scenario).batches == [1]


def test_place_of_one_who_left_is_free_for_the_next() -> None:
    async def scenario(work: Doubling, batcher: Batcher[Any]) -> None:
        first = await held(work, batcher)
        left = asyncio.create_task(batcher.submit(rows(1, 2), tenant="t", timeout_s=None))
        await asyncio.sleep(0)
        left.cancel()
        next_ = asyncio.create_task(batcher.submit(rows(3, 4), tenant="t", timeout_s=None))
        await asyncio.sleep(0.01)
        assert batcher.queued_rows == 2
        work.gate.set()
        await first
        np.testing.assert_array_equal(await next_, rows(6, 8))

    assert run(scenario, Limits(max_queue_rows=2)).batches == [1, 1]


def test_caller_who_waits_for_a_running_batch_is_told_when_its_time_is_up() -> None:
    async def scenario(work: Doubling, batcher: Batcher[Any]) -> None:
        work.gate.clear()
        with pytest.raises(DeadlineError):
            await batcher.submit(rows(1), tenant="t", timeout_s=0.05)
        work.gate.set()

    run(scenario)


def test_how_many_wait_is_heard_at_every_change() -> None:
    heard: list[int] = []

    async def main() -> None:
        work = Doubling()
        batcher: Batcher[Any] = Batcher(work, DEFAULTS, on_queue=heard.append)
        first = await held(work, batcher)
        left = asyncio.create_task(batcher.submit(rows(1, 2, 3), tenant="t", timeout_s=None))
        await asyncio.sleep(0.01)
        left.cancel()
        work.gate.set()
        await first
        await batcher.close()

    asyncio.run(main())
    assert [n for n, before in zip(heard, [None, *heard], strict=False) if n != before] == [1, 0, 3, 0]


def test_runner_that_died_leaves_nobody_waiting_and_closing_does_not_hang() -> None:
    async def scenario(work: Doubling, batcher: Batcher[Any]) -> None:
        running = await held(work, batcher)
        queued = asyncio.create_task(batcher.submit(rows(1), tenant="t", timeout_s=None))
        await asyncio.sleep(0)
        batcher._runner.cancel()
        results = await asyncio.wait_for(asyncio.gather(running, queued, return_exceptions=True), 2)
        assert {type(r) for r in results} == {NotLoadedError}
        with pytest.raises(NotLoadedError):
            await batcher.submit(rows(1), tenant="t", timeout_s=None)
        work.gate.set()
        await asyncio.wait_for(batcher.close(), 2)

    run(scenario)


def test_work_that_loses_a_result_is_an_error_to_each() -> None:
    async def main() -> None:
        batcher: Batcher[Any] = Batcher(lambda _jobs: [], DEFAULTS)
        with pytest.raises(BackendError, match="1 requests went in and 0 results came out"):
            await asyncio.wait_for(batcher.submit(rows(1), tenant="t", timeout_s=None), 2)
        await batcher.close()

    asyncio.run(main())


def test_unfilled_batch_waits_for_company_when_told_to() -> None:
    async def scenario(work: Doubling, batcher: Batcher[Any]) -> None:
        async def soon() -> Any:
            await asyncio.sleep(0.02)
            return await batcher.submit(rows(2), tenant="t", timeout_s=None)

        await asyncio.gather(batcher.submit(rows(1), tenant="t", timeout_s=None), soon())

    assert run(scenario, Limits(max_delay_s=0.2)).batches == [2]


def test_full_batch_does_not_wait() -> None:
    async def scenario(work: Doubling, batcher: Batcher[Any]) -> None:
        started = time.perf_counter()
        await asyncio.gather(*(batcher.submit(rows(v), tenant="t", timeout_s=None) for v in (1, 2, 3)))
        assert time.perf_counter() - started < 2

    assert run(scenario, Limits(max_rows=3, max_delay_s=4)).batches == [3]


def test_error_that_work_returns_for_one_job_costs_the_others_nothing() -> None:
    async def main() -> None:
        runs: list[int] = []

        def work(jobs: Sequence[Job[Any]]) -> Sequence[Any]:
            runs.append(len(jobs))
            return [ValueError("bad") if job.inputs[0, 0] < 0 else job.inputs for job in jobs]

        batcher: Batcher[Any] = Batcher(work, Limits(max_rows=3, max_delay_s=1))
        sent = (batcher.submit(rows(v), tenant="t", timeout_s=None) for v in (1, -1, 3))
        results = await asyncio.gather(*sent, return_exceptions=True)
        await batcher.close()
        assert [isinstance(r, ValueError) for r in results] == [False, True, False]
        assert runs == [3]

    asyncio.run(main())


def test_closed_batcher_finishes_what_is_queued_and_takes_no_more() -> None:
    async def scenario(work: Doubling, batcher: Batcher[Any]) -> None:
        first = await held(work, batcher)
        second = asyncio.create_task(batcher.submit(rows(1), tenant="t", timeout_s=None))
        await asyncio.sleep(0.01)
        closing = asyncio.create_task(batcher.close())
        work.gate.set()
        await asyncio.gather(first, second, closing)
        with pytest.raises(NotLoadedError):
            await batcher.submit(rows(1), tenant="t", timeout_s=None)

    run(scenario)
