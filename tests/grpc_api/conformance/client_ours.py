"""The client that comes with the package: images in, probabilities out, errors as this project's own."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from claims import Answer, Ask, Cannot, Refused
from client_stubs import described

from grpc_api.blocking import BlockingClient
from grpc_api.statuses import status_of
from guard.errors import KnockguardError


class OurClient:
    """`GuardClient`, from code without an event loop."""

    def __init__(self, client: BlockingClient) -> None:
        self._client = client

    def live(self) -> bool:
        return bool(self._done(self._client.client.live()))

    def ready(self) -> bool:
        return bool(self._done(self._client.client.ready()))

    def model_ready(self, model: str, version: str) -> bool:
        if version:
            raise Cannot("it asks for the newest version")
        return bool(self._done(self._client.client.ready(model)))

    def server_metadata(self) -> Mapping[str, Any]:
        raise Cannot("it has no such call")

    def model_metadata(self, model: str, version: str) -> Mapping[str, Any]:
        if version:
            raise Cannot("it asks for the newest version")
        return described(self._done(self._client.client.metadata(model)))

    def infer(self, ask: Ask) -> Answer:
        if ask.typed or ask.values.dtype not in (np.float32, np.uint8) or ask.datatype == "BF16":
            raise Cannot("it sends FP32 and UINT8, raw")
        if ask.version or ask.id or ask.outputs or ask.parameters or ask.inputs > 1:
            raise Cannot("it sends images and nothing else")
        found = self._done(self._client.client.infer(ask.model, ask.input, ask.values))
        return Answer(ask.model, "", "", {"probabilities": found}, {})

    def _done(self, work: Any) -> Any:
        try:
            return self._client.run(work)
        except KnockguardError as error:
            raise Refused(status_of(error).name, str(error)) from None
