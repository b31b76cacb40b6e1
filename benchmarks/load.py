"""Load: one request again and again, so many under way, encoded once, so that the client takes little of what is measured."""

import asyncio
import math
import os
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from ratios import Way, lasting

from grpc_api.converters import encode_input
from grpc_api.servicers.inference import SERVICE
from grpc_api.stubs import knockguard_inference_pb2 as pb

MAX_MESSAGE_BYTES = 64 << 20
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True, slots=True)
class Load:
    """A V2 server's address and process, and the bytes of one request of `rows` rows."""

    address: str
    pid: int
    request: bytes
    rows: int

    @classmethod
    def of(cls, server: tuple[str, int], images: np.ndarray, *, model: str = "victim", name: str = "image") -> "Load":
        """Return the load of one array, uint8 or float32; of BYTES for an array of encoded images. `server`: address and pid."""
        request = pb.ModelInferRequest(model_name=model)
        if images.dtype == object:
            request.inputs.add(name=name, datatype="BYTES", shape=images.shape)
            request.raw_input_contents.append(b"".join(len(c).to_bytes(4, "little") + c for c in images.ravel()))
        else:
            encode_input(request, name, images)
        return cls(*server, request.SerializeToString(), len(images))

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

    def cpu_s(self) -> float:
        """Return the processor seconds that the server's process has used; not a number where there is no /proc."""
        stat = Path(f"/proc/{self.pid}/stat")
        if not stat.exists():
            return math.nan
        fields = stat.read_text().rpartition(")")[2].split()  # a name may hold spaces
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def _send(self, n: int, window: int) -> int:
        async with grpc.aio.insecure_channel(self.address, options=_OPTIONS) as channel:
            call = channel.unary_unary(f"/{SERVICE}/ModelInfer")  # bytes in, bytes out
            left = n

            async def ask() -> None:
                nonlocal left
                while left:
                    left -= 1
                    await call(self.request, timeout=120)

            await asyncio.gather(*(ask() for _ in range(min(window, n))))
        return n
