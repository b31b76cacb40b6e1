"""Somebody else's V2 server: plain grpcio, the stubs that tritonclient ships, ONNX Runtime. It knows nothing of a guard."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import onnxruntime as ort
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

SHAPES = {"FP32": "<f4", "UINT8": "<u1"}


class PlainHost(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers with every output of a graph, or with those that were asked for; raw to raw, typed to typed.

    `spoil` may change a response, abort, or take its time: what real servers do on bad days.
    """

    def __init__(self, model: bytes, *, name: str = "tiny") -> None:
        self._session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
        self._name = name
        self.loaded = True
        self.spoil: Callable[[Any, grpc.ServicerContext], Any] = lambda response, _context: response
        self.asked: list[Any] = []
        self.remaining_s: list[float | None] = []

    def ServerLive(self, request, context):
        return pb.ServerLiveResponse(live=True)

    def ServerReady(self, request, context):
        return pb.ServerReadyResponse(ready=True)

    def ModelReady(self, request, context):
        return pb.ModelReadyResponse(ready=self.loaded and request.name == self._name)

    def ModelMetadata(self, request, context):
        response = pb.ModelMetadataResponse(name=self._name, versions=["3"], platform="onnxruntime_onnx")
        for ends, found in ((response.inputs, self._session.get_inputs()), (response.outputs, self._session.get_outputs())):
            for end in found:
                ends.add(name=end.name, datatype="FP32", shape=[-1, *end.shape[1:]])
        return response

    def ModelInfer(self, request, context):
        self.asked.append(request)
        self.remaining_s.append(context.time_remaining())
        if request.model_name not in (self._name, "other"):
            context.abort(grpc.StatusCode.NOT_FOUND, f"no model {request.model_name}")
        (item,) = request.inputs
        if request.raw_input_contents:
            rows = np.frombuffer(request.raw_input_contents[0], SHAPES[item.datatype]).reshape(tuple(item.shape))
        else:
            rows = np.array(item.contents.fp32_contents, np.float32).reshape(tuple(item.shape))
        names = [wish.name for wish in request.outputs] or [o.name for o in self._session.get_outputs()]
        response = pb.ModelInferResponse(model_name=request.model_name, model_version="3", id=request.id)
        response.parameters["host"].string_param = "plain"
        for name, values in zip(names, self._session.run(names, {item.name: rows.astype(np.float32)}), strict=True):
            output = response.outputs.add(name=name, datatype="FP32", shape=values.shape)
            if request.raw_input_contents:
                response.raw_output_contents.append(values.tobytes())
            else:
                output.contents.fp32_contents.extend(values.ravel().tolist())
        return self.spoil(response, context)

    def ModelStreamInfer(self, request_iterator, context):
        for request in request_iterator:
            yield pb.ModelStreamInferResponse(infer_response=self.ModelInfer(request, context))


@contextmanager
def plain_host(host: PlainHost, *, interceptors: Sequence[grpc.ServerInterceptor] = (), port: int = 0) -> Iterator[str]:
    """Serve in threads; yields the address."""
    options = [("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(16), interceptors=list(interceptors), options=options)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(host, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        server.stop(0).wait()
