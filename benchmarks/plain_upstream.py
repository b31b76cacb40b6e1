"""The least that a V2 server can be, to put a gateway in front of: `python benchmarks/plain_upstream.py BUNDLE`.

Raw float32 in, every output of the bundle's fused graph out, ONNX Runtime between, on grpc.aio. Prints its port once it answers.
"""

import asyncio
import sys
from pathlib import Path

import grpc
import numpy as np

from grpc_api.backends.embedded import open_session
from grpc_api.converters import encode_output
from grpc_api.servicers.handlers import service_handler
from grpc_api.servicers.inference import SERVICE
from grpc_api.stubs import knockguard_inference_pb2 as pb
from guard.bundle import load_bundle


class Plain:
    """Answers what is asked and checks nothing."""

    def __init__(self, model: bytes) -> None:
        self._session = open_session(model, provider="cpu", threads=0)

    async def ModelReady(self, _request: pb.ModelReadyRequest, _context: object) -> pb.ModelReadyResponse:
        return pb.ModelReadyResponse(ready=True)

    async def ModelInfer(self, request: pb.ModelInferRequest, _context: object) -> pb.ModelInferResponse:
        item = request.inputs[0]
        rows = np.frombuffer(request.raw_input_contents[0], np.float32).reshape(tuple(item.shape))
        names = [output.name for output in request.outputs] or [output.name for output in self._session.get_outputs()]
        response = pb.ModelInferResponse(model_name=request.model_name)
        for name, values in zip(names, self._session.run(names, {item.name: rows}), strict=True):
            encode_output(response, name, values, raw=True)
        return response

    def __getattr__(self, name: str) -> object:
        """Whatever else the protocol has."""

        async def nothing(_request: object, context: grpc.aio.ServicerContext) -> None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, name)

        return nothing


async def main() -> None:
    """Serve until the end."""
    server = grpc.aio.server()
    servicer = Plain(load_bundle(Path(sys.argv[1])).model)
    server.add_generic_rpc_handlers((service_handler(servicer, SERVICE, stubs=pb, service="GRPCInferenceService"),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
