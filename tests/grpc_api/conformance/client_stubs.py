"""Clients made of generated messages: ours, another project's, or classes that reflection described a moment ago."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
from claims import Answer, Ask, Cannot, Refused

SERVICE = "inference.GRPCInferenceService"
FIELDS = {
    "BOOL": "bool_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")


class StubClient:
    """Speaks the protocol by a module, or anything with its message classes as attributes."""

    def __init__(self, channel: grpc.Channel, messages: Any) -> None:
        self._channel, self._messages = channel, messages

    def live(self) -> bool:
        return bool(self._call("ServerLive").live)

    def ready(self) -> bool:
        return bool(self._call("ServerReady").ready)

    def model_ready(self, model: str, version: str) -> bool:
        return bool(self._call("ModelReady", name=model, version=version).ready)

    def server_metadata(self) -> Mapping[str, Any]:
        found = self._call("ServerMetadata")
        return {"name": found.name, "version": found.version, "extensions": list(found.extensions)}

    def model_metadata(self, model: str, version: str) -> Mapping[str, Any]:
        return described(self._call("ModelMetadata", name=model, version=version))

    def infer(self, ask: Ask) -> Answer:
        if ask.typed and ask.datatype not in FIELDS:
            raise Cannot(f"{ask.datatype} has no typed contents")
        return answer_of(self._send("ModelInfer", self.request(ask)))

    def request(self, ask: Ask) -> Any:
        """Return the message for what is asked."""
        made = self._messages.ModelInferRequest(model_name=ask.model, model_version=ask.version, id=ask.id)
        for key, value in ask.parameters.items():
            setattr(made.parameters[key], PARAMETERS[type(value)], value)
        for number in range(ask.inputs):
            name = ask.input if not number else f"{ask.input}-{number}"
            item = made.inputs.add(name=name, datatype=ask.datatype, shape=ask.values.shape)
            if ask.typed:
                getattr(item.contents, FIELDS[ask.datatype]).extend(ask.values.ravel().tolist())
            else:
                made.raw_input_contents.append(raw(ask.values, ask.datatype))
        for name in ask.outputs:
            wish = made.outputs.add(name=name)
            if ask.classes:
                wish.parameters["classification"].int64_param = ask.classes
        return made

    def _call(self, method: str, **fields: str) -> Any:
        return self._send(method, getattr(self._messages, f"{method}Request")(**fields))

    def _send(self, method: str, request: Any) -> Any:
        send = self._channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=getattr(self._messages, f"{method}Response").FromString,
        )
        return told(lambda: send(request, timeout=20))


PARAMETERS = {bool: "bool_param", int: "int64_param", str: "string_param"}


def told(call: Callable[[], Any]) -> Any:
    """Return what a call gives, or raise its refusal."""
    try:
        return call()
    except grpc.RpcError as error:
        raise Refused(error.code().name, error.details()) from None


def raw(values: np.ndarray, datatype: str) -> bytes:
    """Return the raw contents of a tensor, little-endian, row by row."""
    if datatype == "BYTES":
        return b"".join(len(element).to_bytes(4, "little") + element for element in values.ravel())
    if datatype == "BF16":
        return (np.ascontiguousarray(values, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes()


def described(metadata: Any) -> Mapping[str, Any]:
    """Return a ModelMetadataResponse as a plain dictionary."""
    tensors = {end: [(t.name, t.datatype, list(t.shape)) for t in getattr(metadata, end)] for end in ("inputs", "outputs")}
    return {"name": metadata.name, "versions": list(metadata.versions), "platform": metadata.platform, **tensors}


def answer_of(response: Any) -> Answer:
    """Return what a ModelInferResponse holds, raw or typed."""
    contents = response.raw_output_contents
    outputs = {item.name: _values(item, contents[number] if contents else None) for number, item in enumerate(response.outputs)}
    parameters = {key: getattr(p, str(p.WhichOneof("parameter_choice"))) for key, p in response.parameters.items()}
    return Answer(response.model_name, response.model_version, response.id, outputs, parameters)


def _values(item: Any, content: bytes | None) -> np.ndarray:
    if content is None:
        found = list(getattr(item.contents, FIELDS[item.datatype]))
    elif item.datatype == "FP32":
        found = np.frombuffer(content, "<f4")
    else:
        found = []
        while content:
            length = int.from_bytes(content[:4], "little")
            found.append(content[4 : 4 + length])
            content = content[4 + length :]
    return np.array(found, np.float32 if item.datatype == "FP32" else object).reshape(tuple(item.shape))


def reflected(channel: grpc.Channel) -> Any:
    """Return message classes as the server's reflection describes them, as grpcurl gets them."""
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message_factory import GetMessageClass
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    service = DescriptorPool(ProtoReflectionDescriptorDatabase(channel)).FindServiceByName(SERVICE)
    kinds = [kind for m in METHODS for kind in (service.methods_by_name[m].input_type, service.methods_by_name[m].output_type)]
    return SimpleNamespace(**{kind.name: GetMessageClass(kind) for kind in kinds})
