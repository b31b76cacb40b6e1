"""One worker: a whole gateway in a process of its own, whose port is shared and whose supervisor alone asks it for more.

Started by the supervisor as `python -m grpc_api.workers.worker`; `grpc_api.workers.line` says how they talk.
"""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from typing import ClassVar

import grpc
from prometheus_client import CollectorRegistry, generate_latest

from grpc_api.admin import Service, serve_privately
from grpc_api.front import Front
from grpc_api.logs import configure_logs
from grpc_api.server import Gateway
from grpc_api.workers.line import ANSWERING, FAILED, LOADED, Line
from guard.errors import KnockguardError

SERVICE = "knockguard.worker"
METRICS = f"/{SERVICE}/Metrics"


class Post(Front):
    """A worker's place: it opens nothing but a socket for its supervisor, and answers when that lets it."""

    shares_port: ClassVar[bool] = True

    def __init__(self, line: Line) -> None:
        self._line = line

    async def open(self, stack: AsyncExitStack, registry: CollectorRegistry, admin: Service) -> Mapping[str, int]:
        handlers = (admin.handler(), _metrics(registry))
        await stack.enter_async_context(serve_privately(self._line.order.socket, handlers))
        self._line.tell(LOADED)
        await self._line.go()
        return {}

    def answering(self, ports: Mapping[str, int]) -> None:
        self._line.tell(ANSWERING)


def _metrics(registry: CollectorRegistry) -> grpc.GenericRpcHandler:
    async def metrics(_request: bytes, _context: object) -> bytes:
        return generate_latest(registry)

    return grpc.method_handlers_generic_handler(SERVICE, {"Metrics": grpc.unary_unary_rpc_method_handler(metrics)})


def main() -> int:
    """Serve until the supervisor ends this process, or is gone."""
    line = Line()
    settings = line.order.settings
    configure_logs(settings.telemetry.log_format, worker=line.order.number)
    try:
        asyncio.run(Gateway(settings, Post(line)).run())
    except KnockguardError as error:
        line.tell(FAILED, kind=type(error).__name__, reason=str(error))
        return 1
    finally:
        if line.broken:  # nobody else is there to tidy up; the last one finds the folder empty
            with suppress(OSError):
                line.order.socket.parent.rmdir()
    return 0


if __name__ == "__main__":
    sys.exit(main())
