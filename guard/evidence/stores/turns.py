"""A timeout that a busy event loop does not use up: what has come is read before it is called late."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_TURNS = 50  # 256 calls at once, on 32 connections that are yet to be made, needed fewer than 20


@asynccontextmanager
async def timeout_in_turns(seconds: float) -> AsyncIterator[None]:
    """Bound the block by seconds and by turns of the loop, whichever is over later; TimeoutError then.

    Load makes each turn longer. Were time all that counted, an answer that lies in the socket would be late by our own doing,
    and callers could bring that about.
    """
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle
    async with asyncio.timeout(None) as timeout:

        def turn(left: int) -> None:
            nonlocal timer
            if left:
                timer = loop.call_later(seconds / _TURNS, turn, left - 1)
            else:
                timeout.reschedule(loop.time())

        timer = loop.call_later(seconds / _TURNS, turn, _TURNS - 1)
        try:
            yield
        finally:
            timer.cancel()
