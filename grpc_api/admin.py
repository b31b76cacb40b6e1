"""The admin server: a port on loopback that wants a key, or a socket that lets in its owner. Each call is logged."""

import os
import socket
import stat
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import grpc
import structlog
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from grpc_api.identity import CALLER, ApiKeys, Caller, Identity
from grpc_api.identity.base import Metadata
from grpc_api.interceptors import Authenticate, Call, Context, Statuses, Unary
from grpc_api.listening import add_port
from grpc_api.operator_settings import AdminSettings
from grpc_api.statuses import OURS, told
from guard.errors import ConfigError, RequestError

log = structlog.get_logger()

LOOPBACK = "127.0.0.1"
_OPTIONS = (
    ("grpc.max_receive_message_length", 1 << 16),  # names and numbers
    ("grpc.so_reuseport", 0),  # else a second gateway would share the port in silence
)


class Owner(Identity):
    """Whoever opened the socket: the file system lets in nobody but its owner, and root."""

    tenants = ("owner",)

    def caller(self, metadata: Metadata, peer: Sequence[str] = ()) -> Caller:
        return Caller("owner")


class Service(Protocol):
    """What answers operators: one gateway, or all workers of one."""

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the service."""


class Frank(Unary):
    """Tells an operator also what clients are not told."""

    def around(self, inner: "Call", method: str) -> "Call":
        async def call(request: Any, context: "Context") -> Any:
            try:
                return await inner(request, context)
            except OURS as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, told(error))

        return call


class Record(Unary):
    """Logs each call: who made it, what was asked, how it ended."""

    def around(self, inner: "Call", method: str) -> "Call":
        async def call(request: Any, context: "Context") -> Any:
            outcome = "failed"
            try:
                response = await inner(request, context)
                outcome = "done"
                return response
            except (grpc.aio.AbortError, RequestError):
                outcome = "refused"
                raise
            finally:
                caller = CALLER.get(None)
                log.info(
                    "admin_called",
                    who=None if caller is None else caller.tenant,  # None had no good key
                    method=method.rpartition("/")[2],
                    asked=MessageToDict(request, preserving_proto_field_name=True) if isinstance(request, Message) else None,
                    outcome=outcome,
                )

        return call


@asynccontextmanager
async def serve_admin(settings: AdminSettings, service: Service) -> AsyncIterator[int | None]:
    """Answer operators for as long as the block runs; yields the port, None without one. ConfigError if a place is taken."""
    servers: list[grpc.aio.Server] = []
    handlers = (service.handler(),)
    port = opened = None
    try:
        if settings.port is not None and settings.keys_file is not None:  # the settings give none of them alone
            servers.append(_server(handlers, Record(), Authenticate(ApiKeys.read(settings.keys_file))))
            port = add_port(servers[-1], LOOPBACK, settings.port, flag="--admin-port")
        if settings.socket is not None:
            servers.append(_server(handlers, Record(), Authenticate(Owner())))
            opened = _open_socket(servers[-1], settings.socket)
        for server in servers:
            await server.start()
        yield port
    finally:
        for server in servers:
            await server.stop(1.0)
        if opened is not None:  # never what was somebody else's
            opened.unlink(missing_ok=True)


@asynccontextmanager
async def serve_privately(path: Path, handlers: Iterable[grpc.GenericRpcHandler]) -> AsyncIterator[None]:
    """Answer a supervisor at a socket for as long as the block runs: its calls are logged where an operator made them."""
    server = _server(handlers)
    _open_socket(server, path)
    try:
        await server.start()
        yield
    finally:
        await server.stop(1.0)
        path.unlink(missing_ok=True)


def _server(handlers: Iterable[grpc.GenericRpcHandler], *around: grpc.aio.ServerInterceptor) -> grpc.aio.Server:
    server = grpc.aio.server(interceptors=(Statuses(), *around, Frank()), options=_OPTIONS, maximum_concurrent_rpcs=16)
    server.add_generic_rpc_handlers(tuple(handlers))
    return server


def _open_socket(server: grpc.aio.Server, path: Path) -> Path:
    """Open a socket with mode 0600 and return its path; ConfigError if somebody listens there, or something else is there."""
    if (length := len(os.fsencode(path))) > 100:  # Linux takes 107, macOS 103
        raise ConfigError(f"the admin socket's path has {length} bytes; a socket's name has at most 100, so give a shorter one")
    _clear(path)
    before = os.umask(0o177)  # from its first moment on
    try:
        bound = server.add_insecure_port(f"unix:{path}")
    except RuntimeError:
        bound = 0
    finally:
        os.umask(before)
    if not bound:
        raise ConfigError(f"cannot open the admin socket {path}; give a path in a folder that exists and that we may write to")
    return path


def _clear(path: Path) -> None:
    """Take away a socket that an earlier run left."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigError(f"the admin socket {path} exists and is no socket; give another path")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
        else:
            raise ConfigError(f"somebody answers at the admin socket {path}; give another path, or stop the other gateway")
