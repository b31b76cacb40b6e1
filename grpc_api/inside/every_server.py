"""For hosts that build their gRPC server themselves and let nobody add an interceptor."""

import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any

import grpc

from grpc_api.inside.interceptors import AioGuardInterceptor, GuardInterceptor
from grpc_api.inside.model import GuardedModel
from guard.errors import ConfigError


def guard_every_server(models: Iterable[GuardedModel], **options: Any) -> Callable[[], None]:
    """Put the guard first into every gRPC server that this process makes from now on; returns what ends that.

    It replaces `grpc.server` and `grpc.aio.server`, as tracing libraries do, so call it before the host makes its own.
    ConfigError if a module has imported one of these functions by itself already: it would go on making servers without a guard.
    `options` are those of the interceptors.
    """
    given = tuple(models)
    plain, aio = grpc.server, grpc.aio.server
    if holders := _holders(plain, aio):
        raise ConfigError(
            f"{', '.join(holders)} imported grpc's function that makes servers, so the guard would not be in them; import it "
            "after guard_every_server, or give its server the interceptor"
        )
    grpc.server = _with_first(plain, GuardInterceptor(given, **options))
    grpc.aio.server = _with_first(aio, AioGuardInterceptor(given, **options))

    def undo() -> None:
        grpc.server, grpc.aio.server = plain, aio

    return undo


def _holders(*makers: Any) -> list[str]:
    """Return the modules, grpc's own aside, that hold one of these functions under whatever name."""
    found = []
    for name, module in sorted(sys.modules.items()):
        values = vars(module).values() if name.partition(".")[0] != "grpc" and hasattr(module, "__dict__") else ()
        if any(value is maker for value in list(values) for maker in makers):
            found.append(name)
    return found


def _with_first(make: Callable[..., Any], interceptor: Any) -> Callable[..., Any]:
    def made(*args: Any, **kwargs: Any) -> Any:
        call = inspect.signature(make).bind(*args, **kwargs)
        call.arguments["interceptors"] = (interceptor, *(call.arguments.get("interceptors") or ()))
        return make(*call.args, **call.kwargs)

    return made
