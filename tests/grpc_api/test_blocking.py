"""The client without asyncio: same answers, same errors, also from inside somebody's event loop."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from grpc_api.blocking import BlockingClient
from grpc_api.client import GuardClient
from guard.errors import BackendError, ModelNotFoundError


def test_answers_are_those_of_the_client(gateway: Any, dark: Callable[..., np.ndarray]) -> None:
    async def expected() -> np.ndarray:
        async with GuardClient(gateway.address) as client:
            return await client.infer("tiny", "image", dark(3))

    with BlockingClient(gateway.address) as blocking:
        found = blocking.run(blocking.client.infer("tiny", "image", dark(3)))
        np.testing.assert_array_equal(found, asyncio.run(expected()))
        with pytest.raises(ModelNotFoundError):
            blocking.run(blocking.client.infer("none", "image", dark(1)))


def test_notebook_that_has_a_loop_already_may_ask(gateway: Any) -> None:
    async def cell() -> bool:
        with BlockingClient(gateway.address) as blocking:
            return blocking.run(blocking.client.live())

    assert asyncio.run(cell())


def test_thread_ends_with_the_block_and_nothing_is_asked_afterwards(gateway: Any) -> None:
    with BlockingClient(gateway.address) as blocking:
        assert "blocking-client" in {thread.name for thread in threading.enumerate()}
    assert "blocking-client" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(BackendError, match="not connected"):
        blocking.run(blocking.client.live())
