"""Lanes: rows count while a thread is at work for them, whoever waits, and who leaves is heard by that thread."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from grpc_api.batching import Job, Limits
from grpc_api.lanes import N_LANES, Lanes
from guard.errors import DeadlineError, QuotaExceededError

ROWS = np.zeros((2, 1), np.float32)


class Held:
    """Work that is under way until the gate opens; `deaf` work goes on when nobody waits any more."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.gate = threading.Event()
        self.began: list[Job[Any]] = []
        self._deaf = deaf

    def __call__(self, jobs: Sequence[Job[Any]]) -> Sequence[Any]:
        self.began.extend(jobs)
        own = threading.Event()
        with jobs[0].waiting.calling_off(lambda: None if self._deaf else own.set()):
            while not (self.gate.wait(0.01) or own.is_set()):
                pass
        return [job.inputs for job in jobs]


def run(scenario: Any, work: Held, limits: Limits) -> None:
    async def main() -> None:
        lanes: Lanes[Any] = Lanes(work, limits)
        try:
            await asyncio.wait_for(scenario(lanes), 10)
        finally:
            work.gate.set()
            await lanes.close()

    asyncio.run(main())


def submitted(lanes: Lanes[Any], timeout_s: float | None = None) -> "asyncio.Task[Any]":
    return asyncio.create_task(lanes.submit(ROWS, tenant="t", timeout_s=timeout_s))


async def until(true: Any) -> None:
    while not true():
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("timeout_s", [None, 0.05])
def test_work_that_nobody_waits_for_is_called_off(timeout_s: float | None) -> None:
    work = Held()

    async def scenario(lanes: Lanes[Any]) -> None:
        asked = submitted(lanes, timeout_s)
        await until(lambda: work.began)
        if timeout_s is None:
            asked.cancel()
        with pytest.raises(asyncio.CancelledError if timeout_s is None else DeadlineError):
            await asked
        await until(lambda: lanes.queued_rows == 0)

    run(scenario, work, Limits())
    assert len(work.began) == 1


def test_rows_of_one_who_left_count_until_their_thread_is_free() -> None:
    work = Held(deaf=True)

    async def scenario(lanes: Lanes[Any]) -> None:
        asked = submitted(lanes)
        await until(lambda: work.began)
        asked.cancel()
        await asyncio.sleep(0.05)
        assert lanes.queued_rows == 2
        with pytest.raises(QuotaExceededError, match="2 rows are waiting and 3 may"):
            await submitted(lanes)
        work.gate.set()
        await until(lambda: lanes.queued_rows == 0)
        assert len(await submitted(lanes)) == 2

    run(scenario, work, Limits(max_queue_rows=3))


def test_one_who_left_before_a_lane_was_free_takes_none() -> None:
    work = Held(deaf=True)

    async def scenario(lanes: Lanes[Any]) -> None:
        first = [submitted(lanes) for _ in range(N_LANES)]
        await until(lambda: len(work.began) == N_LANES)
        late = submitted(lanes)
        await until(lambda: lanes.queued_rows == 2 * N_LANES + 2)
        late.cancel()
        await until(lambda: lanes.queued_rows == 2 * N_LANES)
        work.gate.set()
        assert len(await asyncio.gather(*first)) == N_LANES

    run(scenario, work, Limits())
    assert len(work.began) == N_LANES
