"""The wire as clients meet it: an unmodified tritonclient, our own stubs in the same process, and bad input."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.utils import InferenceServerException

from grpc_api.converters import decode_output, encode_input
from grpc_api.stubs import knockguard_inference_pb2 as pb

SHAPE = (3, 4, 4)


@pytest.fixture
def client(gateway: Any) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(gateway.address) as opened:
        yield opened


@pytest.fixture
def channel(gateway: Any) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(gateway.address) as opened:
        yield opened


def call(channel: grpc.Channel, request: pb.ModelInferRequest, **kwargs: Any) -> pb.ModelInferResponse:
    method = channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer",
        request_serializer=pb.ModelInferRequest.SerializeToString,
        response_deserializer=pb.ModelInferResponse.FromString,
    )
    return method(request, timeout=10, **kwargs)


def ask(images: np.ndarray, **fields: Any) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(**{"model_name": "tiny", **fields})
    encode_input(request, "image", images)
    return request


def triton_input(images: np.ndarray) -> triton.InferInput:
    item = triton.InferInput("image", list(images.shape), "UINT8" if images.dtype == np.uint8 else "FP32")
    item.set_data_from_numpy(images)
    return item


def probabilities(images: np.ndarray) -> np.ndarray:
    """What tiny_model computes, in numpy."""
    logits = 8 * images.mean(axis=(2, 3))
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def test_tritonclient_finds_a_live_ready_model_and_only_its_public_output(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny")
    assert client.is_model_ready("tiny", "3")
    metadata = client.get_model_metadata("tiny")
    assert [(i.name, i.datatype, list(i.shape)) for i in metadata.inputs] == [("image", "FP32", [-1, *SHAPE])]
    assert [(o.name, o.datatype, list(o.shape)) for o in metadata.outputs] == [("probabilities", "FP32", [-1, 3])]
    assert client.get_server_metadata().name == "knockguard"


def test_answer_is_the_models_and_flagged_rows_are_the_policys(
    client: triton.InferenceServerClient, dark: Callable[..., np.ndarray], bright: Callable[..., np.ndarray]
) -> None:
    images = np.concatenate([dark(2), bright(1)])
    result = client.infer("tiny", [triton_input(images)], request_id="query-7")
    answers = result.as_numpy("probabilities")
    np.testing.assert_allclose(answers[:2], probabilities(images[:2]), atol=1e-6)
    np.testing.assert_array_equal(answers[2], [1, 0, 0])
    response = result.get_response()
    assert response.id == "query-7"
    assert (response.model_name, response.model_version) == ("tiny", "3")


def test_scores_and_features_cannot_be_asked_for(client: triton.InferenceServerClient, dark: Callable[..., np.ndarray]) -> None:
    for name in ("scores", "logits", "penultimate", "stage1"):
        with pytest.raises(InferenceServerException, match=f"no output '{name}'") as caught:
            client.infer("tiny", [triton_input(dark())], outputs=[triton.InferRequestedOutput(name)])
        assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    named = client.infer("tiny", [triton_input(dark())], outputs=[triton.InferRequestedOutput("probabilities")])
    assert [o.name for o in named.get_response().outputs] == ["probabilities"]


def test_grey_levels_in_either_layout_are_the_same_image(client: triton.InferenceServerClient) -> None:
    pixels = np.random.default_rng(0).integers(0, 100, (2, 4, 4, 3), dtype=np.uint8)
    as_float = (np.moveaxis(pixels, 3, 1) / np.float32(255)).astype(np.float32)
    sent = [as_float, pixels, np.ascontiguousarray(np.moveaxis(pixels, 3, 1))]
    answers = [client.infer("tiny", [triton_input(images)]).as_numpy("probabilities") for images in sent]
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-6)
    np.testing.assert_array_equal(answers[2], answers[1])


def test_empty_batch_is_answered_with_no_rows(channel: grpc.Channel, dark: Callable[..., np.ndarray]) -> None:
    assert decode_output(call(channel, ask(dark(0))), 0).shape == (0, 3)


def test_typed_request_gets_a_typed_answer(channel: grpc.Channel, dark: Callable[..., np.ndarray]) -> None:
    request = pb.ModelInferRequest(model_name="tiny", id="typed")
    item = request.inputs.add(name="image", datatype="FP32", shape=[1, *SHAPE])
    item.contents.fp32_contents.extend(dark().ravel().tolist())
    response = call(channel, request)
    assert not response.raw_output_contents
    np.testing.assert_allclose(decode_output(response, 0), probabilities(dark()), atol=1e-6)


def test_parameters_come_back_as_they_were_sent(channel: grpc.Channel, dark: Callable[..., np.ndarray]) -> None:
    request = ask(dark())
    request.parameters["trace"].string_param = "abc"
    assert call(channel, request).parameters["trace"].string_param == "abc"


def good(**change: Any) -> pb.ModelInferRequest:
    return ask(np.zeros((1, *SHAPE), np.float32), **change)


def changed(change: Callable[[pb.ModelInferRequest], Any]) -> pb.ModelInferRequest:
    request = good()
    change(request)
    return request


def nothing(request: pb.ModelInferRequest) -> None:
    del request.inputs[:], request.raw_input_contents[:]


def not_finite(request: pb.ModelInferRequest) -> None:
    request.raw_input_contents[0] = np.full((1, *SHAPE), np.nan, np.float32).tobytes()


def top_classes(request: pb.ModelInferRequest) -> None:
    request.outputs.add(name="probabilities").parameters["classification"].int64_param = 2


def shared_memory(request: pb.ModelInferRequest) -> None:
    request.inputs[0].parameters["shared_memory_region"].string_param = "region"


def many_bytes(request: pb.ModelInferRequest) -> None:
    request.inputs[0].datatype = "BYTES"
    request.inputs[0].shape[:] = [1 << 20]
    request.raw_input_contents[0] = bytes(4 << 20)


Code = grpc.StatusCode
BAD = {
    "unknown model": (good(model_name="tinny"), Code.NOT_FOUND, "did you mean 'tiny'"),
    "unknown version": (good(model_version="4"), Code.NOT_FOUND, "it has 3"),
    "no input": (changed(nothing), Code.INVALID_ARGUMENT, "takes one input, 'image'"),
    "wrong name": (changed(lambda r: setattr(r.inputs[0], "name", "pixels")), Code.INVALID_ARGUMENT, "'image'"),
    "wrong size": (ask(np.zeros((1, 3, 5, 5), np.float32)), Code.INVALID_ARGUMENT, "must have shape [-1, 3, 4, 4]"),
    "no batch": (ask(np.zeros(SHAPE, np.float32)), Code.INVALID_ARGUMENT, "must have shape [-1, 3, 4, 4]"),
    "too many rows": (ask(np.zeros((257, *SHAPE), np.float32)), Code.INVALID_ARGUMENT, "at most 256"),
    "wrong dtype": (changed(lambda r: setattr(r.inputs[0], "datatype", "INT32")), Code.INVALID_ARGUMENT, "send FP32, UINT8"),
    "no dtype": (changed(lambda r: setattr(r.inputs[0], "datatype", "F32")), Code.INVALID_ARGUMENT, "known are"),
    "byte count": (changed(lambda r: r.inputs[0].shape.__setitem__(0, 2)), Code.INVALID_ARGUMENT, "needs 384"),
    "negative": (changed(lambda r: r.inputs[0].shape.__setitem__(0, -1)), Code.INVALID_ARGUMENT, "negative"),
    "absurd": (changed(lambda r: r.inputs[0].shape.__setitem__(0, 1 << 60)), Code.INVALID_ARGUMENT, "at most"),
    "raw count": (changed(lambda r: r.raw_input_contents.append(b"")), Code.INVALID_ARGUMENT, "1 inputs and 2 raw"),
    "not finite": (changed(not_finite), Code.INVALID_ARGUMENT, "not finite"),
    "too far": (ask(np.full((1, *SHAPE), 3e38, np.float32)), Code.INVALID_ARGUMENT, "has no answer"),
    "endless name": (changed(lambda r: r.outputs.add(name="x" * 20_000)), Code.INVALID_ARGUMENT, "there is no output 'xxx"),
    "endless foreign name": (changed(lambda r: r.outputs.add(name="\u4e2d" * 20_000)), Code.INVALID_ARGUMENT, "the model has"),
    "many BYTES": (changed(many_bytes), Code.INVALID_ARGUMENT, "at most 65536 BYTES"),
    "top classes": (changed(top_classes), Code.INVALID_ARGUMENT, "parameter 'classification'"),
    "shared memory": (changed(shared_memory), Code.INVALID_ARGUMENT, "sent whole"),
    "two inputs": (changed(lambda r: (r.inputs.add(name="b", datatype="FP32", shape=[0]), r.raw_input_contents.append(b""))),
                   Code.INVALID_ARGUMENT, "takes one input"),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "code", "sentence"), BAD.values(), ids=BAD)
def test_bad_input_gets_its_status_and_a_sentence_that_helps(
    channel: grpc.Channel, request_: pb.ModelInferRequest, code: grpc.StatusCode, sentence: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, request_)
    assert caught.value.code() is code
    assert sentence in caught.value.details()
    assert "/" not in caught.value.details().replace("and/or", "")  # no path of the server
    assert decode_output(call(channel, good()), 0).shape == (1, 3)  # and the gateway goes on


def test_message_over_the_limit_is_refused(channel: grpc.Channel) -> None:
    request = changed(lambda r: r.raw_input_contents.__setitem__(0, bytes(65 << 20)))
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, request)
    assert caught.value.code() is Code.RESOURCE_EXHAUSTED


def test_calls_that_are_not_guarded_are_unimplemented(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.unload_model("tiny")
    assert caught.value.status() == "StatusCode.UNIMPLEMENTED"


def test_health_service_answers(channel: grpc.Channel) -> None:
    check = health_pb2_grpc.HealthStub(channel).Check
    for service in ("", "inference.GRPCInferenceService"):
        response = check(health_pb2.HealthCheckRequest(service=service), timeout=5)
        assert response.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_shows_the_service_under_its_true_name(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert "inference.GRPCInferenceService" in database.get_services()
    pool = DescriptorPool(database)
    service = pool.FindServiceByName("inference.GRPCInferenceService")
    assert {m.name for m in service.methods} == {
        "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer",
        "RepositoryIndex",
    }  # fmt: skip
    request = pool.FindMessageTypeByName("inference.ModelInferRequest")
    assert {f.name: f.number for f in request.fields} == {
        f.name: f.number for f in triton.service_pb2.ModelInferRequest.DESCRIPTOR.fields
    }


def test_our_messages_agree_with_tritons_field_by_field() -> None:
    for name in ("ModelInferRequest", "ModelInferResponse", "ModelMetadataResponse", "InferTensorContents", "InferParameter"):
        ours, theirs = pb.DESCRIPTOR.message_types_by_name[name], getattr(triton.service_pb2, name).DESCRIPTOR
        known = {f.name: (f.number, f.type) for f in theirs.fields}
        assert {f.name: (f.number, f.type) for f in ours.fields}.items() <= known.items()
