"""What stands around every call, one concern a class: count it, turn errors into statuses, know who asks."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, TypeAlias, cast

import grpc
import structlog

from grpc_api.identity import CALLER, Identity
from grpc_api.statuses import OURS, retry_metadata, status_of, told
from grpc_api.telemetry import UNARY, Metrics
from guard.errors import KnockguardError, QuotaExceededError, UnauthenticatedError

log = structlog.get_logger()

# Texts, since these classes take their parameters in the stubs alone.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"
Call: TypeAlias = "Callable[[Any, Context], Awaitable[Any]]"


class Unary(grpc.aio.ServerInterceptor):
    """Wraps unary calls; streams (reflection, health watching) pass."""

    async def intercept_service(self, continuation: "Continuation", details: grpc.HandlerCallDetails) -> "Handler | None":
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            self.around(cast("Call", handler.unary_unary), details.method),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def around(self, inner: "Call", method: str) -> "Call":
        """Return the call with this concern around it."""
        raise NotImplementedError


class CountCalls(Unary):
    """`grpc_server_handled_total` and `grpc_server_handling_seconds`, as other servers count."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def around(self, inner: "Call", method: str) -> "Call":
        service, _, name = method.lstrip("/").partition("/")

        async def call(request: Any, context: "Context") -> Any:
            started = perf_counter()
            code = "UNKNOWN"
            try:
                response = await inner(request, context)
                code = "OK"
                return response
            except BaseException as error:
                code = _name(context, error)
                raise
            finally:
                self._metrics.handled.labels(UNARY, service, name, code).inc()
                self._metrics.handling_seconds.labels(UNARY, service, name).observe(perf_counter() - started)

        return call


class Statuses(Unary):
    """Our errors become their statuses; anything else INTERNAL with an id that the log explains."""

    def around(self, inner: "Call", method: str) -> "Call":
        async def call(request: Any, context: "Context") -> Any:
            try:
                return await inner(request, context)
            except QuotaExceededError as error:
                await context.abort(status_of(error), told(error), retry_metadata(error))
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                if isinstance(error, KnockguardError) and not isinstance(error, OURS):
                    await context.abort(status_of(error), told(error))
                incident = secrets.token_hex(6)
                log.error("call_failed", method=method, incident=incident, exc_info=error)
                await context.abort(grpc.StatusCode.INTERNAL, f"internal error, incident {incident}; the server's log has more")

        return call


class Authenticate(grpc.aio.ServerInterceptor):
    """Every call but the health checks of an orchestrator needs good credentials, streams included."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    async def intercept_service(self, continuation: "Continuation", details: grpc.HandlerCallDetails) -> "Handler | None":
        if details.method.startswith("/grpc.health.v1.Health/"):
            return await continuation(details)
        try:
            # The handler runs in this task, and sees what is set here.
            CALLER.set(self._identity.caller(details.invocation_metadata or ()))
        except UnauthenticatedError as error:
            return _refusal(error, await continuation(details))
        return await continuation(details)


def _refusal(error: UnauthenticatedError, handler: "Handler | None") -> "Handler | None":
    """Return a handler of the same kind that refuses.

    A method that does not exist stays so: else whoever has no key could invent names without end, and each is a metric's label.
    """

    async def refuse(_request: Any, context: "Context") -> Any:
        await context.abort(status_of(error), told(error))

    if handler is None:
        return None
    if handler.stream_stream is not None:
        return grpc.stream_stream_rpc_method_handler(refuse)
    if handler.unary_stream is not None:
        return grpc.unary_stream_rpc_method_handler(refuse)
    return grpc.unary_unary_rpc_method_handler(refuse)


def _name(context: "Context", error: BaseException) -> str:
    """Return the name of the status that a failed call ended with; grpc.aio keeps what abort was given, a member or a number."""
    if isinstance(error, asyncio.CancelledError):  # the client's doing, or its deadline's
        return "DEADLINE_EXCEEDED" if context.time_remaining() == 0 else "CANCELLED"
    code: object = context.code()
    if isinstance(code, grpc.StatusCode):
        return code.name
    return next((status.name for status in grpc.StatusCode if status.value[0] == code), "UNKNOWN")
