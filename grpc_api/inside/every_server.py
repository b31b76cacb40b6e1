"""For hosts that build their gRPC server themselves and let nobody add an interceptor."""

import gc
import inspect
import sys
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeAlias
from weakref import WeakSet

import grpc
import grpc.aio
import structlog

from grpc_api.inside.interceptors import AioGuardInterceptor, GuardInterceptor
from grpc_api.inside.model import GuardedModel
from guard.errors import ConfigError

log = structlog.get_logger()
Server: TypeAlias = grpc.Server | grpc.aio.Server


class EveryServer:
    """The guard in every server that this process makes, until `undo`."""

    def __init__(self, interceptor: Any, aio_interceptor: Any, beside: Collection[Server]) -> None:
        """Replace what makes servers; those `beside` are known to have no guard."""
        self._plain, self._aio = grpc.server, grpc.aio.server
        self._beside = tuple(beside)
        self._made: WeakSet[Server] = WeakSet()
        self._undone = False
        self._guarding = self._with_first(self._plain, interceptor), self._with_first(self._aio, aio_interceptor)
        grpc.server, grpc.aio.server = self._guarding

    def check(self) -> None:
        """ConfigError unless a gRPC server with the guard is there, and none without it. Call it once the host serves.

        It finds what no replacement reaches: a host that kept grpc's own function in a place of its own, or makes servers in
        another process.
        """
        if not len(self._made):
            raise ConfigError(
                "no gRPC server of this process has the guard, so nothing is guarded; the host makes its server by itself, "
                "or in another process; give it the interceptor itself"
            )
        if n := len(_servers() - {*map(id, self._made), *map(id, self._beside)}):
            raise ConfigError(
                f"{n} gRPC servers of this process have no guard; give them the interceptor, or name them in beside= where "
                "they give no answers"
            )

    def undo(self) -> None:
        """Let servers be made as before; those that were made keep the guard. What others have put over it since stays."""
        self._undone = True
        plain, aio = self._guarding
        if grpc.server is plain:
            grpc.server = self._plain
        if grpc.aio.server is aio:
            grpc.aio.server = self._aio

    def _with_first(self, make: Callable[..., Any], interceptor: Any) -> Callable[..., Any]:
        def made(*args: Any, **kwargs: Any) -> Any:
            if self._undone:  # another's function, put over this one, still calls it
                return make(*args, **kwargs)
            call = inspect.signature(make).bind(*args, **kwargs)
            call.arguments["interceptors"] = (interceptor, *(call.arguments.get("interceptors") or ()))
            server = make(*call.args, **call.kwargs)
            self._made.add(server)
            log.info("server_guarded", kind="aio" if make is self._aio else "threads")
            return server

        return made


def guard_every_server(models: Iterable[GuardedModel], *, beside: Collection[Server] = (), **options: Any) -> EveryServer:
    """Put the guard first into every gRPC server that this process makes from now on.

    It replaces `grpc.server` and `grpc.aio.server`, as tracing libraries do, so call it before the host makes its own, and
    `check` what it returns once the host serves. ConfigError if it comes too late: a server is there already and not named in
    `beside`, or a module has imported one of these functions by itself and would go on making servers without a guard.
    `options` are those of the interceptors.
    """
    if holders := _holders(grpc.server, grpc.aio.server):
        raise ConfigError(
            f"{', '.join(holders)} imported grpc's function that makes servers, so the guard would not be in them; import it "
            "after guard_every_server, or give its server the interceptor"
        )
    if n := len(_servers() - set(map(id, beside))):
        raise ConfigError(
            f"{n} gRPC servers were made before guard_every_server, so the guard is not in them; call it first, give them the "
            "interceptor, or name them in beside= where they give no answers"
        )
    given = tuple(models)
    return EveryServer(GuardInterceptor(given, **options), AioGuardInterceptor(given, **options), beside)


def _servers() -> set[int]:
    """Return the ids of the gRPC servers that live in this process, without those that have ended."""
    gc.collect()  # what has ended may lie about in a cycle
    kinds: dict[type, bool] = {}
    found = set()
    for thing in gc.get_objects():
        kind = type(thing)
        if kind not in kinds:
            kinds[kind] = issubclass(kind, (grpc.Server, grpc.aio.Server))
        if kinds[kind] and not _has_ended(thing):
            found.add(id(thing))
    return found


def _has_ended(server: Any) -> bool:
    if isinstance(server, grpc.Server):
        return not server.wait_for_termination(0)
    if server._loop.is_closed():  # it was left without being stopped, and answers nobody
        return True
    waiting = server.wait_for_termination()
    try:
        # One step by hand: its loop may be another thread's, or closed, so nothing can be awaited.
        future = waiting.send(None)
    except StopIteration:
        return True
    future._asyncio_future_blocking = False  # as a task does that begins to wait; the next to wait would fail otherwise
    waiting.close()
    return False


def _holders(*makers: Any) -> list[str]:
    """Return the modules, grpc's own aside, that hold one of these functions under whatever name."""
    found = []
    for name, module in sorted(sys.modules.items()):
        values = vars(module).values() if name.partition(".")[0] != "grpc" and hasattr(module, "__dict__") else ()
        if any(value is maker for value in list(values) for maker in makers):
            found.append(name)
    return found
