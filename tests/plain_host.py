"""Somebody else's V2 server: plain grpcio, the stubs that tritonclient ships, ONNX Runtime. It knows nothing of a guard."""

import asyncio
import threading
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


class AioPlainHost(service_pb2_grpc.GRPCInferenceServiceServicer):
    """The same host, its handlers coroutines."""

    def __init__(self, host: PlainHost) -> None:
        self._host = host

    def __getattribute__(self, name):
        host = super().__getattribute__("_host")
        if not hasattr(PlainHost, name) or name.startswith("_"):
            return super().__getattribute__(name)

        async def call(request, context):
            return getattr(host, name)(request, context)

        return call


@contextmanager
def aio_host(servicer: Any, *, interceptors: Sequence[grpc.aio.ServerInterceptor] = ()) -> Iterator[str]:
    """Serve on an event loop in a thread of its own; yields the address. Handlers that are no coroutines run in threads."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server(ThreadPoolExecutor(4), interceptors=list(interceptors), options=[("grpc.so_reuseport", 0)])
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, port

    server, port = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(_stopped(server), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


async def _stopped(server: grpc.aio.Server) -> None:
    """Stop it and see its calls to their end: a task that outlived its loop would fail in whichever test collects garbage."""
    await server.stop(0)
    if left := asyncio.all_tasks() - {asyncio.current_task()}:
        _, late = await asyncio.wait(left, timeout=5)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
