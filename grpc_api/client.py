"""Our own client: asks a gateway, or any V2 server, for the probabilities of images."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Self, TypeVar

import grpc

from grpc_api.converters import decode_output, encode_input
from grpc_api.servicers.inference import SERVICE
from grpc_api.statuses import error_of
from grpc_api.stubs import knockguard_inference_pb2 as pb
from guard.errors import BackendError, InvalidInputError
from guard.types import Array, Floats

Response = TypeVar("Response")
MAX_MESSAGE_BYTES = 64 << 20
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.use_local_subchannel_pool", 1),  # a client of its own, also for the server
)


class GuardClient:
    """One connection. Use as `async with GuardClient(address, api_key=...) as client`.

    Every call raises the errors of `guard.errors` that the server's status stands for, BackendError when nobody answers.
    """

    def __init__(
        self,
        address: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 60.0,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """`credentials`, as `grpc.ssl_channel_credentials` returns them, are for a gateway with TLS."""
        self._address = address
        self._credentials = credentials
        self._metadata = (("x-api-key", api_key),) if api_key else ()
        self._timeout_s = timeout_s
        self._open: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        # Here and not before: a channel belongs to the event loop that it is made in.
        if self._credentials is None:
            self._open = grpc.aio.insecure_channel(self._address, options=_OPTIONS)
        else:
            self._open = grpc.aio.secure_channel(self._address, self._credentials, options=_OPTIONS)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._open is not None:
            await self._open.close(None)

    async def live(self) -> bool:
        """Say whether the server is there."""
        return (await self._call("ServerLive", pb.ServerLiveRequest(), pb.ServerLiveResponse)).live

    async def ready(self, model: str | None = None) -> bool:
        """Say whether the server, or a model of it, answers queries."""
        if model is None:
            return (await self._call("ServerReady", pb.ServerReadyRequest(), pb.ServerReadyResponse)).ready
        return (await self._call("ModelReady", pb.ModelReadyRequest(name=model), pb.ModelReadyResponse)).ready

    async def metadata(self, model: str) -> pb.ModelMetadataResponse:
        """Return a model's inputs and outputs."""
        return await self._call("ModelMetadata", pb.ModelMetadataRequest(name=model), pb.ModelMetadataResponse)

    async def infer(self, model: str, input_name: str, images: Array) -> Floats:
        """Return probabilities (n, k) of (n, ...) images, uint8 grey levels or float32 as the model takes them."""
        request = pb.ModelInferRequest(model_name=model)
        encode_input(request, input_name, images)
        response = await self._call("ModelInfer", request, pb.ModelInferResponse)
        if len(response.outputs) != 1:
            raise InvalidInputError(f"the server answered with {len(response.outputs)} outputs; one is expected")
        return decode_output(response, 0)

    async def ask(self, model: str, input_name: str, batches: Iterable[Array], *, window: int = 8) -> AsyncIterator[Floats]:
        """Yield the answers to batches in their order, with up to `window` requests under way."""
        pending: list[asyncio.Task[Floats]] = []
        try:
            for batch in batches:
                pending.append(asyncio.create_task(self.infer(model, input_name, batch)))
                if len(pending) >= window:
                    yield await pending.pop(0)
            while pending:
                yield await pending.pop(0)
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)  # so that none ends unheard

    async def _call(self, method: str, request: object, kind: type[Response]) -> Response:
        if self._open is None:
            raise BackendError("the client is not connected; use it as `async with GuardClient(...) as client`")
        call = self._open.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=type(request).SerializeToString,  # type: ignore[attr-defined]  # a protobuf message
            response_deserializer=kind.FromString,  # type: ignore[attr-defined]
        )
        try:
            return await call(request, timeout=self._timeout_s, metadata=self._metadata)  # type: ignore[no-any-return]
        except grpc.aio.AioRpcError as error:
            raise error_of(error.code(), error.details() or error.code().name, error.trailing_metadata() or ()) from None
