"""The client for code that has no event loop, or has one already: notebooks, and libraries that call a plain function."""

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from grpc_api.client import GuardClient
from guard.errors import BackendError

T = TypeVar("T")


class BlockingClient:
    """A `GuardClient` in an event loop of its own. Use as `with BlockingClient(address) as client`, from any thread.

    `run` waits for what a coroutine of `client` gives, and raises what that raises: `blocking.run(blocking.client.infer(...))`.
    """

    def __init__(
        self,
        address: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 60.0,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """`credentials`, as `grpc.ssl_channel_credentials` returns them, are for a gateway with TLS."""
        self.client = GuardClient(address, api_key=api_key, timeout_s=timeout_s, credentials=credentials)
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="blocking-client", daemon=True)
        self._thread.start()
        self.run(self.client.__aenter__())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._loop is None:
            return
        try:
            self.run(self.client.__aexit__(kind, error, trace))
        finally:
            loop, self._loop = self._loop, None
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of `work`; an interrupt while waiting cancels it."""
        if self._loop is None:
            work.close()
            raise BackendError("the client is not connected; use it as `with BlockingClient(...) as client`")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise
