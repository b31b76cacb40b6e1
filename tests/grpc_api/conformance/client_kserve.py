"""KServe's InferenceGRPCClient. Runs in KServe's environment."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import grpc
from claims import Answer, Ask, Cannot, Refused
from kserve import InferenceGRPCClient, InferInput, InferRequest
from kserve.protocol.infer_type import RequestedOutput


class KserveClient:
    """Its asyncio client, in an event loop of its own."""

    def __init__(self, address: str) -> None:
        logging.getLogger("kserve").setLevel(logging.CRITICAL)  # it logs every refusal
        self._runner = asyncio.Runner()
        self._client = self._runner.run(self._open(address))

    async def _open(self, address: str) -> InferenceGRPCClient:
        return InferenceGRPCClient(address)

    def live(self) -> bool:
        return bool(self._done(self._client.is_server_live))

    def ready(self) -> bool:
        return bool(self._done(self._client.is_server_ready))

    def model_ready(self, model: str, version: str) -> bool:
        if version:
            raise Cannot("it asks for the newest version")
        return bool(self._done(lambda: self._client.is_model_ready(model)))

    def server_metadata(self) -> Mapping[str, Any]:
        raise Cannot("it has no such call")

    def model_metadata(self, model: str, version: str) -> Mapping[str, Any]:
        raise Cannot("it has no such call")

    def infer(self, ask: Ask) -> Answer:
        if ask.datatype == "BF16":
            raise Cannot("it has no such type")
        inputs = []
        for number in range(ask.inputs):
            name, shape = ask.input if not number else f"{ask.input}-{number}", list(ask.values.shape)
            inputs.append(InferInput(name, shape, ask.datatype, data=ask.values.ravel().tolist() if ask.typed else None))
            if not ask.typed:
                inputs[-1].set_data_from_numpy(ask.values)
        wished = {"classification": ask.classes} if ask.classes else None
        request = InferRequest(
            ask.model, inputs, request_id=ask.id, model_version=ask.version,
            parameters=dict(ask.parameters), request_outputs=[RequestedOutput(name, wished) for name in ask.outputs],
        )  # fmt: skip
        read = self._done(lambda: self._client.infer(request, timeout=20))
        outputs = {o.name: o.as_numpy() for o in read.outputs}
        return Answer(read.model_name, read.model_version, read.id, outputs, _plain(read.parameters or {}))

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()

    def _done(self, call: Any) -> Any:
        async def waited() -> Any:
            return await call()

        try:
            return self._runner.run(waited())
        except grpc.RpcError as error:
            raise Refused(error.code().name, error.details()) from None


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {key: getattr(p, str(p.WhichOneof("parameter_choice"))) if hasattr(p, "WhichOneof") else p
            for key, p in parameters.items()}  # fmt: skip
