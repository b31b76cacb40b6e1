"""What stands around every call, one concern a class: count it, turn errors into statuses, know who asks."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter
from typing import Any, TypeAlias, cast

import grpc
import structlog

from grpc_api.identity.base import CALLER, Identity, Metadata
from grpc_api.repeats import Repeats
from grpc_api.statuses import OURS, retry_metadata, status_of, told
from grpc_api.telemetry import UNARY, Metrics
from grpc_api.tls import peer_names
from guard.errors import KnockguardError, UnauthenticatedError, UnavailableError

log = structlog.get_logger()
_MAX_REASON = 300  # characters
_CLOCKS_DIFFER_S = 0.05

# Texts, since these classes take their parameters in the stubs alone.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"
Call: TypeAlias = "Callable[[Any, Context], Awaitable[Any]]"
Stream: TypeAlias = "Callable[[Any, Context], AsyncIterator[Any]]"


class Unary(grpc.aio.ServerInterceptor):
    """Wraps unary calls, refusals of them included; streams (reflection, health watching) pass."""

    async def intercept_service(self, continuation: "Continuation", details: grpc.HandlerCallDetails) -> "Handler | None":
        handler = await continuation(details)
        if handler is None:
            return None
        if handler.stream_unary is not None:  # see `refusal`: no service here takes a stream of requests
            return grpc.stream_unary_rpc_method_handler(self.around(cast("Call", handler.stream_unary), details.method))
        if handler.unary_unary is None:
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
                code = status_name(context, error)
                raise
            finally:
                self._metrics.handled.labels(UNARY, service, name, code).inc()
                self._metrics.handling_seconds.labels(UNARY, service, name).observe(perf_counter() - started)

        return call


class Statuses(Unary):
    """Our errors become their statuses; anything else INTERNAL with an id that the log explains.

    That something is not there (the model, a store, an upstream) is logged here too, once in a while for each cause.
    """

    def __init__(self) -> None:
        self._repeats = Repeats()

    def around(self, inner: "Call", method: str) -> "Call":
        async def call(request: Any, context: "Context") -> Any:
            try:
                return await inner(request, context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                if isinstance(error, UnavailableError):
                    self._log(error, method)
                if isinstance(error, KnockguardError) and not isinstance(error, OURS):
                    await context.abort(status_of(error), told(error), retry_metadata(error))
                incident = secrets.token_hex(6)
                log.error("call_failed", method=method, incident=incident, exc_info=error)
                await context.abort(grpc.StatusCode.INTERNAL, f"internal error, incident {incident}; the server's log has more")

        return call

    def _log(self, error: UnavailableError, method: str) -> None:
        cause = error.__cause__
        reason = "" if cause is None else f"{type(cause).__name__}: {cause}".partition("\n")[0][:_MAX_REASON]
        untold = self._repeats.untold(f"{type(error).__name__} {reason}")
        if untold is not None:
            log.error(
                "dependency_failed",
                kind=type(error).__name__,
                message=told(error),
                reason=reason,
                method=method,
                since_last_told=untold,
            )


class Authenticate(grpc.aio.ServerInterceptor):
    """Every call but the health checks of an orchestrator needs good credentials, streams included."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    async def intercept_service(self, continuation: "Continuation", details: grpc.HandlerCallDetails) -> "Handler | None":
        handler = await continuation(details)
        if details.method.startswith("/grpc.health.v1.Health/"):
            return handler
        metadata = details.invocation_metadata or ()
        if self._identity.by_peer:  # only known inside the call; nobody without a certificate has come so far
            return None if handler is None else self._inside(handler, metadata)
        try:
            # The handler runs in this task, and sees what is set here.
            CALLER.set(self._identity.caller(metadata))
        except UnauthenticatedError as error:
            return refusal(error, handler)
        return handler

    def _inside(self, handler: "Handler", metadata: "Metadata") -> "Handler":
        """Return the handler with the question who asks before it."""

        async def tell(context: "Context") -> None:
            try:
                CALLER.set(self._identity.caller(metadata, peer_names(context.auth_context())))
            except UnauthenticatedError as error:
                await context.abort(status_of(error), told(error))

        async def call(request: Any, context: "Context") -> Any:
            await tell(context)
            return await cast("Call", handler.unary_unary or handler.stream_unary)(request, context)

        async def stream(request: Any, context: "Context") -> AsyncIterator[Any]:
            await tell(context)
            async for response in cast("Stream", handler.unary_stream or handler.stream_stream)(request, context):
                yield response

        codec = {"request_deserializer": handler.request_deserializer, "response_serializer": handler.response_serializer}
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(call, **codec)
        if handler.stream_unary is not None:
            return grpc.stream_unary_rpc_method_handler(call, **codec)
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(stream, **codec)
        return grpc.stream_stream_rpc_method_handler(stream, **codec)


def refusal(error: KnockguardError, handler: "Handler | None") -> "Handler | None":
    """Return a handler that refuses, in place of one that a call would have met.

    It takes a stream of requests for a single one, so that gRPC does not receive the message first, which may be large. A method
    that does not exist stays so: else whoever has no key could invent names without end, and each is a metric's label.
    """

    async def refuse(_request: Any, context: "Context") -> Any:
        await context.abort(status_of(error), told(error), retry_metadata(error))

    if handler is None:
        return None
    if handler.stream_stream is not None or handler.unary_stream is not None:
        return grpc.stream_stream_rpc_method_handler(refuse)
    return grpc.stream_unary_rpc_method_handler(refuse)


def status_name(context: "Context", error: BaseException) -> str:
    """Return the name of the status that a failed call ended with; grpc.aio keeps what abort was given, a member or a number."""
    if isinstance(error, asyncio.CancelledError):  # the client's doing, or its deadline's, which its own clock may tell first
        left_s = context.time_remaining()
        return "DEADLINE_EXCEEDED" if left_s is not None and left_s < _CLOCKS_DIFFER_S else "CANCELLED"
    code: object = context.code()
    if isinstance(code, grpc.StatusCode):
        return code.name
    return next((status.name for status in grpc.StatusCode if status.value[0] == code), "UNKNOWN")
