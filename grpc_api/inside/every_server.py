"""For hosts that build their gRPC server themselves and let nobody add an interceptor."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import grpc

from grpc_api.inside.interceptors import AioGuardInterceptor, GuardInterceptor
from grpc_api.inside.model import GuardedModel


def guard_every_server(models: Iterable[GuardedModel], **options: Any) -> Callable[[], None]:
    """Put the guard first into every gRPC server that this process makes from now on; returns what ends that.

    It replaces `grpc.server` and `grpc.aio.server`, as tracing libraries do, so call it before the host makes its own;
    a host that imported the functions themselves is not reached.
    `options` are those of the interceptors.
    """
    given = tuple(models)
    plain, aio = grpc.server, grpc.aio.server
    grpc.server = _with_first(plain, GuardInterceptor(given, **options))
    grpc.aio.server = _with_first(aio, AioGuardInterceptor(given, **options))

    def undo() -> None:
        grpc.server, grpc.aio.server = plain, aio

    return undo


def _with_first(make: Callable[..., Any], interceptor: Any) -> Callable[..., Any]:
    def made(*args: Any, **kwargs: Any) -> Any:
        call = inspect.signature(make).bind(*args, **kwargs)
        call.arguments["interceptors"] = (interceptor, *(call.arguments.get("interceptors") or ()))
        return make(*call.args, **call.kwargs)

    return made
