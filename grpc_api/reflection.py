"""Reflection under the true name, from a pool of our own: protobuf's default pool holds our messages under another name."""

import grpc
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from grpc_api.stubs import knockguard_inference_pb2 as pb

_OURS, _TRUE = "knockguard.inference", "inference"


def true_descriptors() -> DescriptorPool:
    """Return a pool that holds the service as the protocol names it, and the health and reflection services."""
    file = FileDescriptorProto.FromString(pb.DESCRIPTOR.serialized_pb)
    file.name, file.package = "inference.proto", _TRUE
    for message in file.message_type:
        _rename(message)
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(f".{_OURS}.", f".{_TRUE}.", 1)
            method.output_type = method.output_type.replace(f".{_OURS}.", f".{_TRUE}.", 1)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    for module in (health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool


def add_reflection(server: grpc.aio.Server) -> None:
    """Let clients such as grpcurl discover the services."""
    names = ("inference.GRPCInferenceService", "grpc.health.v1.Health", reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool=true_descriptors())


def _rename(message: DescriptorProto) -> None:
    for item in message.field:
        if item.type_name:  # numbers have none, and must not be given one
            item.type_name = item.type_name.replace(f".{_OURS}.", f".{_TRUE}.", 1)
    for nested in message.nested_type:
        _rename(nested)
