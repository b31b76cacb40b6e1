"""MLServer's own types, converters and stubs, as its client side. Runs in MLServer's environment."""

from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
from claims import Answer, Ask, Cannot
from client_stubs import StubClient, answer_of, told
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.converters import ModelInferRequestConverter, ModelInferResponseConverter
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub
from mlserver.types import InferenceRequest, Parameters, RequestInput, RequestOutput


class MlserverClient(StubClient):
    """What MLServer calls an inference request, converted and sent by MLServer's own code."""

    def __init__(self, channel: grpc.Channel) -> None:
        super().__init__(channel, pb)
        self._stub = GRPCInferenceServiceStub(channel)

    def infer(self, ask: Ask) -> Answer:
        if ask.datatype == "BF16":
            raise Cannot("it has no such type")
        if ask.typed and ask.datatype == "FP16":
            raise Cannot("FP16 has no typed contents")
        data = ask.values.ravel().tolist()
        names = [ask.input if not number else f"{ask.input}-{number}" for number in range(ask.inputs)]
        inputs = [RequestInput(name=name, shape=list(ask.values.shape), datatype=ask.datatype, data=data) for name in names]
        wished = Parameters(classification=ask.classes) if ask.classes else None
        outputs = [RequestOutput(name=name, parameters=wished) for name in ask.outputs] or None
        request = InferenceRequest(
            id=ask.id, inputs=inputs, outputs=outputs, parameters=Parameters(**ask.parameters) if ask.parameters else None
        )
        message = ModelInferRequestConverter.from_types(request, ask.model, ask.version, use_raw=not ask.typed)
        response = told(lambda: self._stub.ModelInfer(message, timeout=20))
        read = ModelInferResponseConverter.to_types(response)
        outputs_read: Mapping[str, Any] = {
            o.name: np.array(list(o.data), np.float32 if str(o.datatype) == "FP32" else object).reshape(o.shape)
            for o in read.outputs
        }
        return Answer(read.model_name, read.model_version, read.id, outputs_read, answer_of(response).parameters)
