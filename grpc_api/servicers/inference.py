"""inference.GRPCInferenceService: decode, call the pipeline, encode."""

import asyncio
import math
import re
from collections.abc import Sequence
from importlib.metadata import version
from secrets import token_hex
from time import perf_counter
from typing import TypeAlias

import grpc

from grpc_api.admission import Room
from grpc_api.converters import Tensor, decode_inputs, encode_output
from grpc_api.encoded import FORMATS, ImageDecoder, claimed_rows
from grpc_api.hosting import Hosting
from grpc_api.identity import CALLER
from grpc_api.inputs import DATATYPES_TAKEN, checked_input, claimed_bytes, model_input
from grpc_api.pipeline import Pipeline
from grpc_api.servicers.handlers import service_handler
from grpc_api.settings import LimitSettings
from grpc_api.stubs import knockguard_inference_pb2 as pb
from grpc_api.tenant_limits import TenantLimits
from grpc_api.tracing import TRACE
from grpc_api.wishes import in_words, wished_classes
from guard.bundle import InputSpec
from guard.errors import NotLoadedError
from guard.types import Floats

# A text, since the class takes its parameters in the stubs alone.
Context: TypeAlias = "grpc.aio.ServicerContext[pb.ModelInferRequest, pb.ModelInferResponse]"
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
SERVICE = "inference.GRPCInferenceService"
_PLATFORM = "onnxruntime_onnx"
_EXTENSIONS = ("classification",)
_AT_ONCE_BYTES = 1 << 20  # of float32: about a millisecond


class InferenceServicer:
    """The six calls of the Open Inference Protocol, and Triton's index of models, over what this gateway hosts."""

    def __init__(
        self, hosting: Hosting, images: ImageDecoder, limits: LimitSettings, tenant_limits: TenantLimits | None = None
    ) -> None:
        self._hosting = hosting
        self._images = images
        self._max_rows = limits.max_request_rows
        self._tenant_limits = tenant_limits
        self._bytes = Room("bytes are", limits.max_inflight_mib << 20)
        self.ready = False

    async def ServerLive(self, _request: pb.ServerLiveRequest, _context: object) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, _request: pb.ServerReadyRequest, _context: object) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self.ready and self._hosting.ready)

    async def ModelReady(self, request: pb.ModelReadyRequest, _context: object) -> pb.ModelReadyResponse:
        release = self._hosting.find(request.name, request.version)
        return pb.ModelReadyResponse(ready=self.ready and release.pipeline.ready)

    async def ServerMetadata(self, _request: pb.ServerMetadataRequest, _context: object) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(name="knockguard", version=version("knockguard"), extensions=_EXTENSIONS)

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, _context: object) -> pb.ModelMetadataResponse:
        manifest = self._hosting.find(request.name, request.version).manifest
        versions = self._hosting.versions(manifest.name)
        response = pb.ModelMetadataResponse(name=manifest.name, versions=versions, platform=_PLATFORM)
        image = response.inputs.add(name=manifest.input.name, datatype="FP32", shape=[-1, *manifest.input.shape])
        image.parameters["datatypes"].string_param = " ".join(DATATYPES_TAKEN)
        image.parameters["encodings"].string_param = " ".join(FORMATS)
        response.outputs.add(name=manifest.output, datatype="FP32", shape=[-1, len(manifest.labels)])
        return response

    async def RepositoryIndex(self, request: pb.RepositoryIndexRequest, _context: object) -> pb.RepositoryIndexResponse:
        response = pb.RepositoryIndexResponse()
        if self.ready or not request.ready:
            state = "READY" if self.ready else "UNAVAILABLE"
            for release in self._hosting.releases:
                response.models.add(name=release.manifest.name, version=release.manifest.version, state=state)
        return response

    async def ModelInfer(self, request: pb.ModelInferRequest, context: "Context") -> pb.ModelInferResponse:
        began = perf_counter()
        if not self.ready:
            raise NotLoadedError("the gateway is starting or shutting down; ask again shortly, or ask another replica")
        with self._hosting.find(request.model_name, request.model_version).used() as pipeline:
            return await self._answer(pipeline, request, context, began)

    async def _answer(
        self, pipeline: Pipeline, request: pb.ModelInferRequest, context: "Context", began: float
    ) -> pb.ModelInferResponse:
        manifest = pipeline.manifest
        n_classes = wished_classes(request, manifest.output)
        tensors = decode_inputs(request)
        n_bytes = claimed_bytes(tensors, manifest.input, max_rows=self._max_rows)
        with self._bytes.held(request.ByteSize() + n_bytes):
            if self._tenant_limits is None:
                answers, decoded = await self._computed(pipeline, request, tensors, context)
            else:
                n_rows = claimed_rows(tensors, manifest.input, max_rows=self._max_rows)
                async with self._tenant_limits.taken(CALLER.get().tenant, n_rows):
                    answers, decoded = await self._computed(pipeline, request, tensors, context)
        answered = perf_counter()
        response = pb.ModelInferResponse(model_name=manifest.name, model_version=manifest.version, id=request.id)
        for key, value in request.parameters.items():
            response.parameters[key].CopyFrom(value)
        # Beside the loop: many rows of many classes are half a second of words.
        values = await asyncio.to_thread(in_words, answers, manifest.labels, n_classes) if n_classes else answers
        encode_output(response, manifest.output, values, raw=bool(request.raw_input_contents))
        encoded = perf_counter()
        trace = TRACE.get()
        trace.about(manifest.name, manifest.version, n_rows=len(answers))
        for stage, begun, ended in (("decode", began, decoded), ("encode", answered, encoded)):
            pipeline.metrics.stage(stage, ended - begun)
            trace.stage(stage, begun, ended)
        return response

    async def _computed(
        self, pipeline: Pipeline, request: pb.ModelInferRequest, tensors: Sequence[Tensor], context: "Context"
    ) -> tuple[Floats, float]:
        """Return the answers, and when their inputs were decoded."""
        spec = pipeline.manifest.input
        opened = await self._images.open(tensors, spec, max_rows=self._max_rows, timeout_s=context.time_remaining())
        tensor = checked_input(opened, spec, max_rows=self._max_rows)
        inputs = await _read(tensor, spec)
        decoded = perf_counter()
        answers = await pipeline.answer(
            inputs, tenant=CALLER.get().tenant, timeout_s=context.time_remaining(), request=request_id(request.id)
        )
        return answers, decoded

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the service under its true name; our generated messages carry another, see protos/."""
        return service_handler(self, SERVICE, stubs=pb, service="GRPCInferenceService")


async def _read(tensor: Tensor, spec: InputSpec) -> Floats:
    """Return the model's input; what takes longer than a turn of the event loop is done beside it."""
    if math.prod(tensor.shape) * 4 <= _AT_ONCE_BYTES:
        return model_input(tensor, spec)
    return await asyncio.to_thread(model_input, tensor, spec)


def request_id(given: str) -> str:
    """Return a client's own id if it is short and plain, else one of ours: what a client writes freely is kept nowhere."""
    return given if _ID.fullmatch(given) else token_hex(8)
