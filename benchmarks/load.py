"""Load: one request again and again, so many under way, encoded once, so that the client takes little of what is measured."""

import asyncio
import math
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TypeAlias

import grpc
import numpy as np
from ratios import Way, lasting

from grpc_api.converters import encode_input
from grpc_api.servicers.inference import SERVICE
from grpc_api.stubs import knockguard_inference_pb2 as pb

Call: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"
MAX_MESSAGE_BYTES = 64 << 20
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True, slots=True)
class Load:
    """A V2 server's address and process, the bytes of one request of `rows` rows, and over how many connections it is sent."""

    address: str
    pid: int
    request: bytes
    rows: int
    connections: int = 1

    @classmethod
    def of(
        cls, server: tuple[str, int], images: np.ndarray, *, model: str = "victim", name: str = "image", connections: int = 1
    ) -> "Load":
        """Return the load of one array, uint8 or float32; of BYTES for an array of encoded images. `server`: address and pid."""
        request = pb.ModelInferRequest(model_name=model)
        if images.dtype == object:
            request.inputs.add(name=name, datatype="BYTES", shape=images.shape)
            request.raw_input_contents.append(b"".join(len(c).to_bytes(4, "little") + c for c in images.ravel()))
        else:
            encode_input(request, name, images)
        return cls(*server, request.SerializeToString(), len(images), connections)

    @property
    def kib(self) -> float:
        """The size of a request."""
        return len(self.request) / 1024

    def send(self, n: int, *, window: int) -> int:
        """Ask n times, `window` at once, and return how many rows were answered; grpc.RpcError for the first that was not."""
        return asyncio.run(self._send(n, window)) * self.rows

    def way(self, seconds: float, *, window: int) -> Way:
        """Return what asks for about so many seconds, `window` requests at once, and returns the rows answered."""
        return Way(lasting(lambda n: self.send(n, window=window), seconds=seconds, least=window), self.cpu_s)

    def median_ms(self, seconds: float) -> float:
        """Ask one after the other for so many seconds; return the median of their milliseconds, or grpc.RpcError."""
        return asyncio.run(self._median_ms(seconds))

    def cpu_s(self) -> float:
        """Return the processor seconds that the server has used, its workers included; not a number where there is no /proc."""
        process = Path(f"/proc/{self.pid}")
        if not process.exists():
            return math.nan
        workers = (process / "task" / str(self.pid) / "children").read_text().split()
        return sum(_cpu_s(int(pid)) for pid in (self.pid, *workers))

    async def _send(self, n: int, window: int) -> int:
        async with AsyncExitStack() as stack:
            calls = [await stack.enter_async_context(self._call()) for _ in range(self.connections)]
            left = n

            async def ask(call: "Call") -> None:
                nonlocal left
                while left:
                    left -= 1
                    await call(self.request, timeout=120)

            await asyncio.gather(*(ask(calls[i % len(calls)]) for i in range(min(window, n))))
        return n

    async def _median_ms(self, seconds: float) -> float:
        took: list[float] = []
        async with self._call() as call:
            until = perf_counter() + seconds
            while (began := perf_counter()) < until:
                await call(self.request, timeout=120)
                took.append(1000 * (perf_counter() - began))
        return median(took)

    @asynccontextmanager
    async def _call(self) -> AsyncIterator["Call"]:
        async with grpc.aio.insecure_channel(self.address, options=_OPTIONS) as channel:
            yield channel.unary_unary(f"/{SERVICE}/ModelInfer")  # bytes in, bytes out


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # a name may hold spaces
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
