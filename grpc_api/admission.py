"""How much is let in at once: calls, streams, and the bytes of requests under way."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from grpc_api.interceptors import Continuation, Handler, refusal
from grpc_api.settings import LimitSettings
from guard.errors import QuotaExceededError

RETRY_AFTER_S = 0.5
_HEALTH_CHECK = "/grpc.health.v1.Health/Check"
_SPARE = 64  # health checks, and calls that are only being refused


class Room:
    """A number that may not pass its limit. Lives in one event loop."""

    def __init__(self, what: str, limit: int) -> None:
        self._what = what
        self._limit = limit
        self.taken = 0

    def take(self, n: int = 1) -> None:
        """Take n, or QuotaExceededError; whoever comes to an empty room is let in, so that no request is too large for ever."""
        if self.taken and self.taken + n > self._limit:
            raise QuotaExceededError(
                f"{self.taken} {self._what} under way and {self._limit} may be; try again shortly", retry_after_s=RETRY_AFTER_S
            )
        self.taken += n

    def leave(self, n: int = 1) -> None:
        """Give back what was taken."""
        self.taken -= n

    @contextmanager
    def held(self, n: int) -> Iterator[None]:
        """Take n for as long as the block runs."""
        self.take(n)
        try:
            yield
        finally:
            self.leave(n)


class Admission(grpc.aio.ServerInterceptor):
    """Refuses calls and streams over their limits, before their messages are received. A health check is always let in."""

    def __init__(self, limits: LimitSettings) -> None:
        self._calls = Room("calls are", limits.max_calls)
        self._streams = Room("streams are", limits.max_streams)
        self.ceiling = limits.max_calls + limits.max_streams + _SPARE  # for gRPC itself: over it, it refuses without a word

    async def intercept_service(self, continuation: "Continuation", details: grpc.HandlerCallDetails) -> "Handler | None":
        handler = await continuation(details)
        if handler is None or details.method == _HEALTH_CHECK:
            return handler
        room = self._calls if handler.unary_unary is not None else self._streams
        try:
            room.take()
        except QuotaExceededError as error:
            return refusal(error, handler)
        # Not around the handler: one who never sends the message that it announced holds a place as well.
        task = asyncio.current_task()
        assert task is not None  # gRPC runs each call in a task of its own
        task.add_done_callback(lambda _: room.leave())
        return handler
