"""Messages are parsed inside the call, after it is known who asks and that there is room; gRPC itself would do so before."""

import inspect
from typing import Any, cast

import grpc
from google.protobuf.message import DecodeError

from grpc_api.interceptors import Call, Context, Continuation, Handler
from grpc_api.statuses import status_of, told
from guard.errors import InvalidInputError


class _Unparsed:
    """A message's bytes, given away once: held by each frame of the call, they would double what it takes."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self) -> bytes:
        data, self._data = self._data, b""
        return data


class Decode(grpc.aio.ServerInterceptor):
    """Bytes that are no message are InvalidInputError, where gRPC says UNKNOWN and logs a stack trace for each of them.

    The last of a server's interceptors: those before it get no message yet. Streams of requests pass as they are.
    """

    async def intercept_service(self, continuation: "Continuation", details: grpc.HandlerCallDetails) -> "Handler | None":
        handler = await continuation(details)
        if handler is None or handler.request_streaming or handler.request_deserializer is None:
            return handler
        parse, name, serializer = handler.request_deserializer, details.method.rpartition("/")[2], handler.response_serializer

        def parsed(unparsed: _Unparsed) -> Any:
            data = unparsed.take()
            try:
                return parse(data)
            except DecodeError:
                raise InvalidInputError(f"these {len(data)} bytes are no message that {name} takes") from None

        async def call(unparsed: _Unparsed, context: "Context") -> Any:
            return await cast("Call", handler.unary_unary)(parsed(unparsed), context)

        async def stream(unparsed: _Unparsed, context: "Context") -> None:
            try:
                request = parsed(unparsed)
            except InvalidInputError as error:
                await context.abort(status_of(error), told(error))
            responses = cast("Any", handler.unary_stream)(request, context)
            if inspect.isawaitable(responses):  # it writes by itself
                await responses
            else:
                async for response in responses:
                    await context.write(response)

        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(call, request_deserializer=_Unparsed, response_serializer=serializer)
        answer = cast("Any", stream)
        return grpc.unary_stream_rpc_method_handler(answer, request_deserializer=_Unparsed, response_serializer=serializer)
