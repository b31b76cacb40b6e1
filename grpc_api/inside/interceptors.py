"""The interceptors: one for grpc.aio, one for threads. Put it first, so that nothing of the host sees an answer before it.

Only what is known to give no answers passes: the calls that say whether a server lives, its metadata (less the scores), and the
model's own ModelInfer, guarded. Streams, a model's configuration, and models that nobody guards are UNIMPLEMENTED.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any, TypeAlias

import grpc
import structlog

from grpc_api.inside.incident import incident_of
from grpc_api.inside.model import GuardedModel
from grpc_api.statuses import OURS, status_of, told
from guard.errors import BackendError, ConfigError, KnockguardError, UnavailableError, UnimplementedError

log = structlog.get_logger()

# Texts, since these classes take their parameters in the stubs alone.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Tenant: TypeAlias = "Callable[[Any], str | None]"
Before: TypeAlias = "Callable[[Any], GuardedModel | None]"
After: TypeAlias = "Callable[[GuardedModel, Any, Any, Any], Any]"

SERVICE = "/inference.GRPCInferenceService/"
PASSED = frozenset({"ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "RepositoryIndex"})


class _Guarding:
    """What both have: who is guarded, which calls pass, and how a call is wrapped."""

    def __init__(
        self,
        models: Iterable[GuardedModel],
        *,
        unguarded: Collection[str] = (),
        also_passed: Collection[str] = (),
        tenant: Tenant = lambda _context: None,
    ) -> None:
        """`unguarded` models are answered as they are; `also_passed` are further methods, such as RepositoryModelLoad.

        `tenant` tells from a call's context who asks, for rules by tenant; never from a field that the client writes freely.
        ConfigError if two models have one name.
        """
        given = list(models)
        self._models = {model.name: model for model in given}
        if len(self._models) != len(given):
            raise ConfigError(f"two guarded models have one name: {', '.join(model.name for model in given)}")
        self._unguarded = frozenset(unguarded)
        self._passed = PASSED | frozenset(also_passed)
        self._tenant = tenant

    def _wrapped(self, method: str, handler: "Handler", *, is_aio: bool) -> "Handler":
        """Return the handler that a call of the host's service meets."""
        name = method.removeprefix(SERVICE)
        if not method.startswith(SERVICE) or name in self._passed:
            return handler
        if name not in ("ModelInfer", "ModelMetadata") or handler.unary_unary is None:
            return _refusing(f"{name[:64]} is not guarded here, so it is not answered", is_aio=is_aio)
        before, after = (self._ask, self._answered) if name == "ModelInfer" else (self._find, self._described)
        inner: Any = handler.unary_unary
        # grpc.aio runs a handler that is no coroutine in a thread of its own; so it must stay.
        call = _aio(inner, before, after) if inspect.iscoroutinefunction(inner) else _threaded(inner, before, after)
        return grpc.unary_unary_rpc_method_handler(
            call, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )

    def _ask(self, request: Any) -> GuardedModel | None:
        model = self._named(request.model_name)
        if model is not None:
            model.ask(request)
        return model

    def _answered(self, model: GuardedModel, request: Any, response: Any, context: Any) -> Any:
        return model.answered(request, response, tenant=self._tenant(context))

    def _find(self, request: Any) -> GuardedModel | None:
        return self._named(request.name)

    def _described(self, model: GuardedModel, _request: Any, response: Any, _context: Any) -> Any:
        return model.described(response)

    def _named(self, name: str) -> GuardedModel | None:
        if name in self._unguarded:
            return None
        if name not in self._models:
            raise UnimplementedError(f"model {name[:128]!r} is not guarded here, so it is not answered")
        return self._models[name]


class GuardInterceptor(_Guarding, grpc.ServerInterceptor):
    """For `grpc.server(..., interceptors=(GuardInterceptor([model]), ...))`."""

    def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> "Handler | None":
        handler = continuation(details)
        return None if handler is None else self._wrapped(details.method, handler, is_aio=False)


class AioGuardInterceptor(_Guarding, grpc.aio.ServerInterceptor):
    """For `grpc.aio.server(..., interceptors=(AioGuardInterceptor([model]), ...))`."""

    async def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> "Handler | None":
        handler = await continuation(details)
        return None if handler is None else self._wrapped(details.method, handler, is_aio=True)


def _threaded(inner: Callable[[Any, Any], Any], before: "Before", after: "After") -> Callable[[Any, Any], Any]:
    def call(request: Any, given: Any) -> Any:
        context = given if hasattr(given, "code") else _WithCode(given)
        try:
            model = before(request)
        except Exception as error:
            context.abort(*_failure(error))
        response = inner(request, context)  # what the host raises is the host's
        if model is None:
            return response
        if _failed(context):
            return _emptied(response)
        try:
            return after(model, request, _there(response), context)
        except Exception as error:
            context.abort(*_failure(error))

    return call


def _aio(inner: Callable[[Any, Any], Awaitable[Any]], before: "Before", after: "After") -> Callable[[Any, Any], Awaitable[Any]]:
    async def call(request: Any, context: Any) -> Any:
        try:
            model = before(request)
        except Exception as error:
            await context.abort(*_failure(error))
        response = await inner(request, context)
        if model is None:
            return response
        if _failed(context):
            return _emptied(response)
        try:
            if model.reads_inputs:
                return await asyncio.to_thread(after, model, request, _there(response), context)
            return after(model, request, _there(response), context)
        except Exception as error:
            await context.abort(*_failure(error))

    return call


def _refusing(message: str, *, is_aio: bool) -> "Handler":
    """Return a handler that refuses; it takes a stream, so that no message is received first, which may be large."""

    async def refuse(_requests: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, message)

    def refuse_in_thread(_requests: Any, context: Any) -> None:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, message)

    return grpc.stream_stream_rpc_method_handler(refuse if is_aio else refuse_in_thread)


class _WithCode:
    """The context that grpc.aio gives to plain functions, which alone cannot say what status was set."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._code: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def set_code(self, code: Any) -> None:
        """Set a status, and remember it."""
        self._code = code
        self._context.set_code(code)

    def code(self) -> Any:
        """Return the status that was set."""
        return self._code


def _failed(context: Any) -> bool:
    """Whether the host has set a status of its own, in place of an answer."""
    return context.code() not in (None, 0, grpc.StatusCode.OK)


def _emptied(response: Any) -> Any:
    """Return what may stand beside a status of the host's own: a server in threads sends its message all the same."""
    return None if response is None else type(response)()


def _there(response: Any) -> Any:
    if response is None:
        raise BackendError("the model gave no answer")
    return response


def _failure(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Return what the client is told; of what it cannot mend, an id that the log explains."""
    if isinstance(error, KnockguardError) and not isinstance(error, OURS):
        if isinstance(error, UnavailableError):
            log.error("guard_inside_failed", reason=str(error))
        return status_of(error), told(error)
    return grpc.StatusCode.INTERNAL, incident_of(error)
