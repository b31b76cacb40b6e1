"""The guard in servers that a host makes by itself: it is there, or it says that it is not."""

import asyncio
import functools
import sys
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import grpc
import numpy as np
import pytest
from plain_host import AioPlainHost, PlainHost, aio_host, plain_host
from test_inside import ask, guarded
from tiny_bundle import tiny_model

from grpc_api.inside import EveryServer, guard_every_server
from guard.errors import ConfigError

MAKE = grpc.server, grpc.aio.server


@contextmanager
def guarding(**options: Any) -> Iterator[EveryServer]:
    """Guard every server of the block. What other tests of this process left is named, and is no host."""
    every = guard_every_server([guarded()], **options)
    try:
        yield every
    finally:
        every.undo()
    assert (grpc.server, grpc.aio.server) == MAKE


@pytest.mark.parametrize("serve", [plain_host, lambda host: aio_host(AioPlainHost(host))], ids=["threads", "coroutines"])
def test_host_that_lets_nobody_in_is_guarded_by_replacing_what_makes_servers(
    serve: Callable[[PlainHost], AbstractContextManager[str]],
) -> None:
    with guarding() as every, serve(PlainHost(tiny_model())) as address:
        np.testing.assert_array_equal(ask(address)[2], [1, 0, 0])
        every.check()


@pytest.mark.parametrize("line", ["from grpc import server as make", "from grpc.aio import server"])
def test_guard_that_comes_too_late_for_a_module_says_which(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    early = types.ModuleType("early_host")
    exec(line, vars(early))
    monkeypatch.setitem(sys.modules, "early_host", early)
    before = grpc.server, grpc.aio.server
    with pytest.raises(ConfigError, match="early_host imported grpc's function"):
        guard_every_server([guarded()])
    assert (grpc.server, grpc.aio.server) == before


def test_guard_that_comes_after_a_server_says_so_unless_that_one_gives_no_answers() -> None:
    early = grpc.server(ThreadPoolExecutor(1))
    with pytest.raises(ConfigError, match="1 gRPC servers were made before guard_every_server"):
        guard_every_server([guarded()])
    assert (grpc.server, grpc.aio.server) == MAKE
    with guarding(beside=[early]) as every, plain_host(PlainHost(tiny_model())):
        every.check()
    early.start()
    early.stop(0).wait()
    with guarding():  # one that has ended answers nobody
        pass


def test_guard_that_comes_after_a_server_of_coroutines_says_so() -> None:
    async def late() -> None:
        server = grpc.aio.server()
        with pytest.raises(ConfigError, match="1 gRPC servers were made before"):
            guard_every_server([guarded()])
        with guarding(beside=[server]):
            pass

    asyncio.run(late())


def test_server_of_coroutines_that_has_stopped_is_no_host_and_one_that_runs_is_not_disturbed() -> None:
    kept = functools.partial(grpc.aio.server)

    async def stopped() -> None:
        with guarding() as every, plain_host(PlainHost(tiny_model())):
            unguarded = kept()
            await unguarded.start()
            waiting = asyncio.create_task(unguarded.wait_for_termination())
            for _ in range(2):
                with pytest.raises(ConfigError, match="1 gRPC servers of this process have no guard"):
                    every.check()
            await unguarded.stop(0)
            await waiting
            every.check()

    asyncio.run(stopped())


def test_undo_leaves_what_another_put_over_it_which_guards_no_more() -> None:
    every = guard_every_server([guarded()])
    guarding_server = grpc.server

    def traced(*args: Any, **kwargs: Any) -> grpc.Server:
        return guarding_server(*args, **kwargs)

    try:
        grpc.server = traced
        every.undo()
        assert (grpc.server, grpc.aio.server) == (traced, MAKE[1])
        made = grpc.server(ThreadPoolExecutor(1))
        with pytest.raises(ConfigError, match="no gRPC server of this process has the guard"):
            every.check()
        made.start()
        made.stop(0).wait()
    finally:
        grpc.server, grpc.aio.server = MAKE


def test_check_finds_a_server_that_no_replacement_reached() -> None:
    """A host may keep grpc's function where no module shows it."""
    kept = functools.partial(grpc.server, ThreadPoolExecutor(1))
    with guarding() as every:
        with pytest.raises(ConfigError, match="no gRPC server of this process has the guard"):
            every.check()
        unguarded = kept()
        with (
            plain_host(PlainHost(tiny_model())),
            pytest.raises(ConfigError, match="1 gRPC servers of this process have no guard"),
        ):
            every.check()
        unguarded.start()
        unguarded.stop(0).wait()
