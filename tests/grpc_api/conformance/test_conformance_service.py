"""The services beside ModelInfer: health, reflection, what is not guarded, and two copies of the stubs in one process."""

import subprocess
import sys

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.grpc import service_pb2 as theirs

from grpc_api.stubs import knockguard_inference_pb2 as ours

SERVICE = "inference.GRPCInferenceService"
SERVED = {"ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer", "RepositoryIndex"}
UNGUARDED = [method for method in theirs.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods if method.name not in SERVED]


@pytest.mark.parametrize("method", UNGUARDED, ids=lambda method: method.name)
def test_call_that_is_not_guarded_is_unimplemented(channel: grpc.Channel, method: object) -> None:
    name = method.name  # type: ignore[attr-defined]
    send = channel.stream_stream(f"/{SERVICE}/{name}", request_serializer=None, response_deserializer=None)
    with pytest.raises(grpc.RpcError) as caught:
        list(send(iter([b""]), timeout=10))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_health_service_answers(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", SERVICE):
        response = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
        assert response.status == health_pb2.HealthCheckResponse.SERVING
        watched = next(stub.Watch(health_pb2.HealthCheckRequest(service=service), timeout=5))
        assert watched.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(health_pb2.HealthCheckRequest(service="inference.Another"), timeout=5)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_shows_the_services_under_their_true_names(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert set(database.get_services()) == {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    service = DescriptorPool(database).FindServiceByName(SERVICE)
    assert {method.name for method in service.methods} == SERVED


@pytest.mark.parametrize("name", sorted(ours.DESCRIPTOR.message_types_by_name))
def test_message_agrees_with_tritons_field_by_field(name: str) -> None:
    mine, other = ours.DESCRIPTOR.message_types_by_name[name], theirs.DESCRIPTOR.message_types_by_name[name]
    agree(mine, other)


def agree(mine: object, other: object) -> None:
    known = {f.name: (f.number, f.type) for f in other.fields}  # type: ignore[attr-defined]
    # MLServer's addition: what describes a tensor has parameters.
    added = {"parameters"} if mine.name == "TensorMetadata" else set()  # type: ignore[attr-defined]
    fields = mine.fields  # type: ignore[attr-defined]
    assert {f.name: (f.number, f.type) for f in fields if f.name not in added}.items() <= known.items()
    for nested in mine.nested_types:  # type: ignore[attr-defined]
        if not nested.GetOptions().map_entry:
            agree(nested, other.nested_types_by_name[nested.name])  # type: ignore[attr-defined]


@pytest.mark.parametrize("first", ["tritonclient.grpc", "grpc_api.stubs.knockguard_inference_pb2"])
def test_both_copies_of_the_stubs_live_in_one_process_in_either_order(first: str) -> None:
    code = (
        f"import {first}, tritonclient.grpc.service_pb2 as theirs, grpc_api.stubs.knockguard_inference_pb2 as ours;"
        "sent = ours.ModelInferRequest(model_name='tiny', raw_input_contents=[b'a']).SerializeToString();"
        "print(theirs.ModelInferRequest.FromString(sent).raw_input_contents[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("b'a'", "")
