"""The contract of every store of allowances: it counts as the arithmetic says, whoever else counts there."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis_process import RedisServer, redis_server

from guard.errors import ConfigError, StoreError
from guard.evidence.allowance import Account, Allowance, Bound, charged
from guard.evidence.stores.base import Store
from guard.evidence.stores.memory import MemoryStore
from guard.evidence.stores.redis_store import Place, RedisStore
from guard.evidence.stores.registry import STORES

T = TypeVar("T")
NAMES = ["memory", pytest.param("redis", marks=pytest.mark.server)]
stores = pytest.mark.parametrize("name", NAMES)
NUMBERS = count()
NOON = 1_700_000_000.0 // 86_400 * 86_400 + 43_200
BOTH = Allowance(rows_per_s=10, burst_rows=20, quota_rows=50)


class Clock:
    """Stands still until it is told."""

    now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def run(name: str, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Give a new store to what is to be done with it, in an event loop of its own."""
    redis = request.getfixturevalue("redis") if name == "redis" else None

    def on_new_store(work: Callable[[Store], Awaitable[T]], clock: Callable[[], float]) -> T:
        async def whole() -> T:
            store = (
                MemoryStore(clock=clock)
                if redis is None
                else RedisStore(Place(redis.address, prefix=f"t{next(NUMBERS)}", timeout_s=5), clock=clock)
            )
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(whole())

    return on_new_store


def test_every_registered_store_is_in_the_table() -> None:
    assert set(STORES) == {"memory", "redis"}
    for name in STORES:
        assert STORES.get(name).name == name


@stores
def test_rows_are_taken_from_bucket_and_window_or_from_neither(run: Any) -> None:
    clock = Clock()

    async def work(store: Store) -> None:
        assert (await store.take("shop", 20, BOTH)).refused_by is None
        refused = await store.take("shop", 1, BOTH)
        assert (refused.refused_by, refused.wait_s, refused.used) == (Bound.RATE, pytest.approx(0.1), 20)
        clock.now += 2
        assert (await store.take("shop", 20, BOTH)).used == 40
        clock.now += 2
        refused = await store.take("shop", 11, BOTH)
        assert (refused.refused_by, refused.wait_s) == (Bound.QUOTA, 43_200 - 4)
        taken = await store.take("shop", 10, BOTH)
        assert (taken.refused_by, taken.tokens, taken.used) == (None, 10, 50)
        clock.now = NOON + 43_200
        assert (await store.take("shop", 1, BOTH)).used == 1

    run(work, clock)


@stores
def test_no_rows_only_look(run: Any) -> None:
    async def work(store: Store) -> None:
        assert (await store.take("shop", 0, BOTH)).tokens == 20
        assert not await store.forget("shop")
        await store.take("shop", 3, BOTH)
        assert (await store.take("shop", 0, BOTH)).used == 3

    run(work, Clock())


@stores
def test_tenants_are_kept_apart_and_one_is_forgotten_alone(run: Any) -> None:
    async def work(store: Store) -> None:
        for tenant in ("shop", "lab"):
            await store.take(tenant, 20, BOTH)
        assert await store.forget("shop")
        assert not await store.forget("shop")
        assert (await store.take("shop", 0, BOTH)).tokens == 20
        assert (await store.take("lab", 0, BOTH)).tokens == 0

    run(work, Clock())


@stores
def test_what_is_given_back_returns_to_its_own_window_and_not_to_the_bucket(run: Any) -> None:
    clock = Clock()

    async def work(store: Store) -> None:
        first = NOON + 43_200
        await store.give_back("shop", 3, BOTH, window_end=first)  # nobody is known yet
        assert not await store.forget("shop")
        assert (await store.take("shop", 8, BOTH)).window_end == first
        await store.give_back("shop", 5, BOTH, window_end=first)
        standing = await store.take("shop", 0, BOTH)
        assert (standing.used, standing.tokens) == (3, 12)
        await store.give_back("shop", 50, BOTH, window_end=first)
        assert (await store.take("shop", 0, BOTH)).used == 0
        await store.take("shop", 7, BOTH)
        clock.now += 86_400
        await store.give_back("shop", 2, BOTH, window_end=first)  # nothing is taken of the next one yet
        await store.take("shop", 3, BOTH)
        await store.give_back("shop", 5, BOTH, window_end=first)
        assert (await store.take("shop", 0, BOTH)).used == 3

    run(work, clock)


@stores
def test_many_at_once_get_what_one_after_another_would(run: Any) -> None:
    async def work(store: Store) -> None:
        allowance = Allowance(quota_rows=50)
        standings = await asyncio.gather(*(store.take("shop", 1, allowance) for _ in range(200)))
        assert sum(s.refused_by is None for s in standings) == 50

    run(work, Clock())


ALLOWANCES = st.builds(
    Allowance,
    rows_per_s=st.none() | st.floats(0.1, 1000),
    burst_rows=st.integers(1, 30),
    quota_rows=st.none() | st.integers(1, 60),
    window_s=st.sampled_from([0.5, 3.0, 86_400.0]),
)


@stores
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.lists(st.tuples(st.integers(-500, 5000), st.integers(1, 30)), min_size=1, max_size=15),
    allowances=st.lists(ALLOWANCES, min_size=1, max_size=2),
)
def test_any_row_of_requests_stands_as_the_arithmetic_says(
    run: Any, asked: list[tuple[int, int]], allowances: list[Allowance]
) -> None:
    clock = Clock()

    async def work(store: Store) -> None:
        account: Account | None = None
        for number, (after_ms, rows) in enumerate(asked):
            clock.now += after_ms / 1000
            allowance = allowances[number % len(allowances)]
            account, expected = charged(account, rows, allowance, clock.now)
            found = await store.take("shop", rows, allowance)
            assert (found.refused_by, found.used, found.window_end) == (expected.refused_by, expected.used, expected.window_end)
            assert (found.tokens, found.wait_s) == pytest.approx((expected.tokens, expected.wait_s), rel=1e-12, abs=1e-12)

    run(work, clock)


def test_memory_is_bounded_and_who_was_idle_longest_begins_anew() -> None:
    async def work() -> list[float]:
        store = MemoryStore(max_tenants=3, clock=Clock())
        for tenant in ("a", "b", "c", "a", "d"):
            await store.take(tenant, 1, BOTH)
        return [(await store.take(tenant, 0, BOTH)).used for tenant in "abcd"]

    assert asyncio.run(work()) == [2, 0, 1, 1]


def on_redis(server: RedisServer, work: Callable[[RedisStore, Any], Awaitable[T]], **place: Any) -> T:
    """Give a store, and a plain client beside it, to what is to be done."""
    from redis.asyncio import Redis

    async def whole() -> T:
        store = RedisStore(Place(server.address, **{"prefix": f"t{next(NUMBERS)}", "timeout_s": 5, **place}))
        plain = Redis(port=server.port, password=server.password, decode_responses=True)
        try:
            return await work(store, plain)
        finally:
            await store.close()
            await plain.aclose()

    return asyncio.run(whole())


@pytest.mark.server
def test_redis_counts_for_all_who_share_its_prefix_by_its_own_clock(redis: RedisServer) -> None:
    async def work(store: RedisStore, _: Any) -> None:
        other = RedisStore(Place(redis.address, prefix=store.place.prefix, timeout_s=5))
        allowance = Allowance(quota_rows=50)
        both = [*(store.take("shop", 1, allowance) for _ in range(100)), *(other.take("shop", 1, allowance) for _ in range(100))]
        assert sum(s.refused_by is None for s in await asyncio.gather(*both)) == 50
        rated = Allowance(rows_per_s=20, burst_rows=10)
        assert (await store.take("lab", 10, rated)).refused_by is None
        refused = await other.take("lab", 4, rated)
        assert refused.refused_by is Bound.RATE
        await asyncio.sleep(refused.wait_s + 0.01)
        assert (await other.take("lab", 4, rated)).refused_by is None
        await other.close()

    on_redis(redis, work)


@pytest.mark.server
def test_redis_sees_no_name_of_a_tenant_and_forgets_what_is_over(redis: RedisServer) -> None:
    async def work(store: RedisStore, plain: Any) -> None:
        await store.take("shop", 5, Allowance(rows_per_s=1, burst_rows=100, quota_rows=10, window_s=2))
        await store.take("lab", 5, Allowance(rows_per_s=1, burst_rows=100, quota_rows=10))
        keys = [key async for key in plain.scan_iter(f"{store.place.prefix}*")]
        assert len(keys) == 2
        assert not any("shop" in key or "lab" in key for key in keys)
        soon, late = sorted([await plain.pttl(key) for key in keys])
        assert 5_000 <= soon <= 7_000  # the bucket is full again in 5 s, the window over in 2
        assert soon < late <= 86_401_000

    on_redis(redis, work)


@pytest.mark.server
def test_redis_that_holds_garbage_or_lost_its_scripts_is_no_crash(redis: RedisServer) -> None:
    async def work(store: RedisStore, plain: Any) -> None:
        await store.take("shop", 1, BOTH)
        await plain.script_flush()
        assert (await store.take("shop", 1, BOTH)).used == 2
        (key,) = [key async for key in plain.scan_iter(f"{store.place.prefix}*")]
        await plain.set(key, "garbage")
        with pytest.raises(StoreError, match="cannot be counted"):
            await store.take("shop", 1, BOTH)

    on_redis(redis, work)


@pytest.mark.server
def test_password_comes_from_a_file_that_may_change_and_is_never_told(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("not-the-right-one\n")
    with redis_server(tmp_path, password="open-sesame-7") as server:

        async def work(store: RedisStore, _: Any) -> StoreError:
            with pytest.raises(StoreError) as caught:
                await store.take("shop", 1, BOTH)
            file.write_text("open-sesame-7\n")
            assert (await store.take("shop", 1, BOTH)).used == 1
            return caught.value

        error = on_redis(server, work, password_file=file)
    for told in (str(error), repr(error.__cause__)):
        assert "not-the-right-one" not in told


@pytest.mark.server
def test_redis_that_is_killed_or_frozen_is_away_within_its_time_and_found_again(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:

        async def work(store: RedisStore, _: Any) -> None:
            await store.take("shop", 1, BOTH)
            server.freeze()
            started = asyncio.get_running_loop().time()
            with pytest.raises(StoreError):
                await store.take("shop", 1, BOTH)
            assert asyncio.get_running_loop().time() - started < 2
            server.thaw()
            assert (await store.take("shop", 0, BOTH)).used >= 1
            server.kill()
            with pytest.raises(StoreError):
                await store.take("shop", 1, BOTH)
            assert server.start()
            assert (await store.take("shop", 1, BOTH)).used == 1  # it kept nothing

        on_redis(server, work, timeout_s=0.3)


@pytest.mark.server
@pytest.mark.parametrize("is_connected", [True, False])
def test_redis_that_answers_is_not_away_because_the_loop_is_busy(redis: RedisServer, is_connected: bool) -> None:
    async def work(store: RedisStore, _: Any) -> None:
        async def hog() -> None:
            while True:
                time.sleep(0.01)  # as a large request's parsing does: nothing else is done meanwhile
                await asyncio.sleep(0)

        if is_connected:
            await store.take("shop", 1, BOTH)
        busy = asyncio.create_task(hog())
        all_there_may_be = (store.take("shop", 1, Allowance(quota_rows=5)) for _ in range(256))
        standings = await asyncio.gather(*all_there_may_be)
        busy.cancel()
        assert sum(s.refused_by is None for s in standings) == 5 - is_connected

    on_redis(redis, work, timeout_s=0.005)


@pytest.mark.parametrize(
    ("content", "sentence"), [(None, "cannot read the password"), ("", "no password"), ("a\nb\n", "no password")]
)
def test_password_that_is_none_is_refused_and_not_shown(tmp_path: Path, content: str | None, sentence: str) -> None:
    pytest.importorskip("redis", reason="no client of Redis; the extra redis has it")
    if content is not None:
        (tmp_path / "password").write_text(content)
    with pytest.raises(ConfigError, match=sentence):
        RedisStore(Place("127.0.0.1:1", password_file=tmp_path / "password"))
