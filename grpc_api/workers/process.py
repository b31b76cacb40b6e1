"""One worker as its supervisor sees it: started, heard, asked, ended."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Self, TypeVar

import grpc
from google.protobuf.message import Message

from grpc_api.servicers.admin import SERVICE
from grpc_api.statuses import error_of
from grpc_api.workers.line import FAILED, GO, Order
from guard import errors
from guard.errors import KnockguardError, NotLoadedError

Response = TypeVar("Response", bound=Message)
_METRICS = "/knockguard.worker/Metrics"
_MAX_ANSWER_BYTES = 64 << 20  # evidence of thousands of tenants, metrics of as many


class Worker:
    """A process, the line to it, and a channel to its socket."""

    def __init__(self, order: Order, process: Process) -> None:
        self.number = order.number
        self._process = process
        self._socket = order.socket
        self._channel = grpc.aio.insecure_channel(
            f"unix:{order.socket}",
            options=[("grpc.max_receive_message_length", _MAX_ANSWER_BYTES), ("grpc.use_local_subchannel_pool", 1)],
        )

    @classmethod
    async def start(cls, order: Order) -> Self:
        """Start the process and give it its order. It is no child of our terminal: Ctrl-C reaches it by us."""
        program = (sys.executable, "-m", "grpc_api.workers.worker")
        process = await asyncio.create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE, start_new_session=True)
        worker = cls(order, process)
        await worker._send(order.encoded())
        return worker

    async def heard(self, state: str) -> None:
        """Wait until the worker says that it has come so far; raises its own error if it cannot."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        told = json.loads(line) if line else {}
        if told.get("state") == FAILED:
            kind = getattr(errors, told["kind"], KnockguardError)
            raise kind(told["reason"])
        if told.get("state") != state:
            raise KnockguardError(f"worker {self.number} ended with code {await self.ended()} before it was {state}; see its log")

    async def go(self) -> None:
        """Let it answer."""
        await self._send(GO)

    async def ask(self, method: str, request: Message, kind: type[Response], *, timeout_s: float) -> Response:
        """Call its admin service; raises our errors, NotLoadedError if it ends meanwhile."""
        answer = await self._call(f"/{SERVICE}/{method}", request.SerializeToString(), timeout_s=timeout_s)
        return kind.FromString(answer)

    async def metrics(self, *, timeout_s: float) -> str | None:
        """Return its metrics as Prometheus reads them; None if it does not answer."""
        try:
            return (await self._call(_METRICS, b"", timeout_s=timeout_s)).decode()
        except KnockguardError:
            return None

    async def _call(self, path: str, request: bytes, *, timeout_s: float) -> bytes:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(path)
        try:
            return await call(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise error_of(error.code(), error.details() or error.code().name) from None
        except asyncio.CancelledError:
            if _leaving():
                raise
            raise NotLoadedError("the worker ended; its successor is being started") from None

    def end(self) -> None:
        """Ask it to drain and end."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """End it now."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> int:
        """Wait for its end, clear up after it, and return its exit code, negative for a signal's number."""
        code = await self._process.wait()
        await self._channel.close()
        self._socket.unlink(missing_ok=True)
        return code

    async def _send(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        with suppress(ConnectionError):  # it has ended, which is heard elsewhere
            await self._process.stdin.drain()


def _leaving() -> bool:
    """Whether it is the asker who was cancelled; else it was the call, whose channel was closed when its worker ended.

    Passed on, that would cancel whoever asks for an operator, and gRPC then leaves the operator without any answer.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
