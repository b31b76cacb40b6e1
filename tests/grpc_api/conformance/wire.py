"""ModelInfer by hand: requests that are good but for one thing."""

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np

from grpc_api.converters import encode_input
from grpc_api.stubs import knockguard_inference_pb2 as pb

SHAPE = (3, 4, 4)


def call(channel: grpc.Channel, request: pb.ModelInferRequest, **more: Any) -> pb.ModelInferResponse:
    method = channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer",
        request_serializer=pb.ModelInferRequest.SerializeToString,
        response_deserializer=pb.ModelInferResponse.FromString,
    )
    return method(request, timeout=20, **more)


def ask(images: np.ndarray, **fields: Any) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(**{"model_name": "tiny", **fields})
    encode_input(request, "image", images)
    return request


def typed(images: np.ndarray, **fields: Any) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(**{"model_name": "tiny", **fields})
    item = request.inputs.add(name="image", datatype="FP32", shape=images.shape)
    item.contents.fp32_contents.extend(images.ravel().tolist())
    return request


def good(**fields: Any) -> pb.ModelInferRequest:
    return ask(np.zeros((1, *SHAPE), np.float32), **fields)


def changed(change: Callable[[pb.ModelInferRequest], Any], request: pb.ModelInferRequest | None = None) -> pb.ModelInferRequest:
    made = request or good()
    change(made)
    return made
