"""tritonclient, as people use it: its blocking and its asyncio client, which share everything but the waiting."""

import asyncio
from collections.abc import Mapping
from typing import Any

import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from claims import Answer, Ask, Cannot, Refused
from client_stubs import answer_of, described
from tritonclient.utils import InferenceServerException, triton_to_np_dtype


class TritonClient:
    """The blocking client; `options` are its own, such as TLS and keep-alive."""

    def __init__(self, address: str, **options: Any) -> None:
        self._client = triton.InferenceServerClient(address, **options)

    def live(self) -> bool:
        return bool(self._done(lambda c: c.is_server_live()))

    def ready(self) -> bool:
        return bool(self._done(lambda c: c.is_server_ready()))

    def model_ready(self, model: str, version: str) -> bool:
        return bool(self._done(lambda c: c.is_model_ready(model, version)))

    def server_metadata(self) -> Mapping[str, Any]:
        found = self._done(lambda c: c.get_server_metadata())
        return {"name": found.name, "version": found.version, "extensions": list(found.extensions)}

    def model_metadata(self, model: str, version: str) -> Mapping[str, Any]:
        return described(self._done(lambda c: c.get_model_metadata(model, version)))

    def infer(self, ask: Ask) -> Answer:
        if ask.typed:
            raise Cannot("it sends raw contents alone")
        inputs = []
        for number in range(ask.inputs):
            name = ask.input if not number else f"{ask.input}-{number}"
            inputs.append(triton.InferInput(name, list(ask.values.shape), ask.datatype))
            # Of numpy's types bfloat16 is none: newer releases take another package's, older ones float32 itself.
            is_bfloat16 = ask.datatype == "BF16"
            inputs[-1].set_data_from_numpy(ask.values.astype(triton_to_np_dtype("BF16")) if is_bfloat16 else ask.values)
        more: dict[str, Any] = {"outputs": [triton.InferRequestedOutput(name, class_count=ask.classes) for name in ask.outputs]}
        if ask.parameters:
            more["parameters"] = dict(ask.parameters)
        result = self._done(
            lambda c: c.infer(ask.model, inputs, model_version=ask.version, request_id=ask.id, client_timeout=20, **more)
        )
        read = answer_of(result.get_response())
        # The numbers as this client reads them itself.
        return Answer(read.model, read.version, read.id, {name: result.as_numpy(name) for name in read.outputs}, read.parameters)

    def close(self) -> None:
        self._client.close()

    def _done(self, call: Any) -> Any:
        try:
            return self._wait(call)
        except InferenceServerException as error:
            raise Refused(str(error.status()).removeprefix("StatusCode."), error.message()) from None

    def _wait(self, call: Any) -> Any:
        return call(self._client)


class AioTritonClient(TritonClient):
    """The asyncio client, in an event loop of its own."""

    def __init__(self, address: str, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._aio = self._runner.run(self._open(address, options))

    async def _open(self, address: str, options: dict[str, Any]) -> Any:
        return triton_aio.InferenceServerClient(address, **options)

    def close(self) -> None:
        self._runner.run(self._aio.close())
        self._runner.close()

    def _wait(self, call: Any) -> Any:
        async def waited() -> Any:
            return await call(self._aio)

        return self._runner.run(waited())
