"""Whatever arrives is answered or refused: never UNKNOWN, never as a fault of ours, never with a stack trace in the log."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from wire import SHAPE, ask, good

from grpc_api.converters import DATATYPES
from grpc_api.stubs import knockguard_inference_pb2 as pb

# The gateway outlives all of them, so it is rightly one fixture.
often = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
EXPECTED = {"OK", "INVALID_ARGUMENT", "NOT_FOUND"}
INFER = "/inference.GRPCInferenceService/ModelInfer"
PARSED = [
    INFER,
    *(f"/inference.GRPCInferenceService/{name}" for name in ("ServerLive", "ModelReady", "ModelMetadata", "RepositoryIndex")),
    "/grpc.health.v1.Health/Check",
]
NO_MESSAGE = b"\xff\xff\xff"
GOOD = ask(np.zeros((2, *SHAPE), np.float32), id="a", model_version="3").SerializeToString()

dims = st.integers(-2, 5) | st.integers(-(2**63), 2**63 - 1)
texts = st.text(max_size=8) | st.sampled_from(["image", "tiny", "probabilities", "3"])
parameters = st.dictionaries(
    st.text(max_size=4) | st.sampled_from(["classification", "shared_memory_region", "binary_data"]),
    st.builds(pb.InferParameter, int64_param=st.integers(-2, 9)) | st.builds(pb.InferParameter, string_param=texts),
    max_size=2,
)
contents = st.builds(
    pb.InferTensorContents,
    fp32_contents=st.lists(st.floats(width=32), max_size=3),
    int_contents=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=2),
    uint_contents=st.lists(st.integers(0, 300), max_size=3),
    bytes_contents=st.lists(st.binary(max_size=9), max_size=2),
)
inputs = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=texts,
    datatype=st.sampled_from([*DATATYPES, "", "FP8"]),
    shape=st.lists(dims, max_size=5) | st.just([1, *SHAPE]) | st.just([1]),
    parameters=parameters,
    contents=st.none() | contents,
)
requests = st.builds(
    pb.ModelInferRequest,
    model_name=st.just("tiny") | texts,
    model_version=st.just("") | texts,
    id=texts,
    parameters=parameters,
    inputs=st.lists(inputs, max_size=2),
    outputs=st.lists(
        st.builds(pb.ModelInferRequest.InferRequestedOutputTensor, name=texts, parameters=parameters), max_size=2
    ),
    raw_input_contents=st.lists(st.binary(max_size=48) | st.just(bytes(192)), max_size=2),
)  # fmt: skip


def status(channel: grpc.Channel, method: str, data: bytes) -> str:
    try:
        channel.unary_unary(method)(data, timeout=20)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


@often
@given(request=requests)
def test_any_message_is_answered_or_refused(channel: grpc.Channel, request: pb.ModelInferRequest) -> None:
    assert status(channel, INFER, request.SerializeToString()) in EXPECTED


@often
@given(position=st.integers(0, len(GOOD) - 1), value=st.integers(0, 255), cut=st.booleans())
def test_good_message_with_a_byte_changed_or_its_end_cut_off(channel: grpc.Channel, position: int, value: int, cut: bool) -> None:
    data = GOOD[:position] if cut else GOOD[:position] + bytes([value]) + GOOD[position + 1 :]
    assert status(channel, INFER, data) in EXPECTED


@often
@given(method=st.sampled_from(PARSED), data=st.binary(max_size=64))
@example(method=INFER, data=NO_MESSAGE)
@example(method="/grpc.health.v1.Health/Check", data=b"\x0a\x05ti")
def test_bytes_that_are_no_message_are_refused_in_words(channel: grpc.Channel, method: str, data: bytes) -> None:
    assert status(channel, method, data) in EXPECTED


def test_what_is_no_message_is_refused_after_its_sender_and_leaves_no_trace_in_the_log(
    bundle: Path, start: Any, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(f"shop:{sha256(b'key').hexdigest()}\n")
    with start(bundle, "--api-keys", str(tmp_path / "keys")) as served, grpc.insecure_channel(served.address) as channel:
        for data in (NO_MESSAGE, good().SerializeToString()):
            assert status(channel, INFER, data) == "UNAUTHENTICATED"
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(INFER)(NO_MESSAGE, timeout=20, metadata=(("x-api-key", "key"),))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert caught.value.details() == "these 3 bytes are no message that ModelInfer takes"
        with pytest.raises(grpc.RpcError) as watched:
            next(channel.unary_stream("/grpc.health.v1.Health/Watch")(NO_MESSAGE, timeout=20))
        assert watched.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert served.total("grpc_server_handled_total", grpc_method="ModelInfer", grpc_code="INVALID_ARGUMENT") == 1
        served.end()
        assert "Traceback" not in served.log.read_text()
        assert "DecodeError" not in served.log.read_text()
