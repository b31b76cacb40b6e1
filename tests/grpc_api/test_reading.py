"""Messages of many parts are refused before they are parsed, and all that a client can mean is read."""

from collections.abc import Callable

import pytest
from google.protobuf.message import DecodeError

from grpc_api.reading import MAX_PARTS, bounded, count_parts
from grpc_api.stubs import knockguard_inference_pb2 as pb
from guard.errors import InvalidInputError

Request = pb.ModelInferRequest


def ordinary() -> Request:
    request = Request(model_name="shapes", id="1", raw_input_contents=[b"\xff" * 5000])
    request.inputs.add(name="image", datatype="FP32", shape=[1, 3, 8, 8]).parameters["p"].string_param = "x" * 3000
    request.outputs.add(name="probabilities")
    request.parameters["q"].int64_param = 7
    return request


def typed() -> Request:
    request = Request(model_name="shapes")
    request.inputs.add(name="image", datatype="FP32", shape=[4, 3, 224, 224]).contents.fp32_contents.extend([0.5] * 602_112)
    return request


def encoded() -> Request:
    request = Request(model_name="shapes")
    request.inputs.add(name="image", datatype="BYTES", shape=[256]).contents.bytes_contents.extend([b"\xff\xd8"] * 256)
    return request


@pytest.mark.parametrize("make", [ordinary, typed, encoded, Request])
def test_what_a_client_can_mean_is_read(make: Callable[[], Request]) -> None:
    assert bounded(Request)(make().SerializeToString()) == make()


def flood(part: bytes) -> bytes:
    return b"\x0a\x06shapes" + part * (MAX_PARTS + 1)


FLOODS = {
    "inputs": flood(b"\x2a\x00"),
    "outputs": flood(b"\x32\x00"),
    "parameters": flood(b"\x22\x00"),
    "raw contents": flood(b"\x3a\x00"),
    "unknown numbers": flood(b"\xf8\x07\x01"),
    "unknown fixed": flood(b"\xfd\x07abcd"),
    "parameters of one input": b"\x2a\x84\x08" + b"\x22\x00" * 514,
}


@pytest.mark.parametrize("name", FLOODS)
def test_more_parts_than_a_request_needs_are_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match=f"more than {MAX_PARTS} fields"):
        bounded(Request)(FLOODS[name])


def test_counting_ends_soon_after_what_is_allowed() -> None:
    assert count_parts(b"\x2a\x00" * 1_000_000) == MAX_PARTS + 1


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x2a\xff\xff\xff\xff\x0f", b"\x2a", b"\x0b", b"\x08" + b"\xff" * 20])
def test_counting_what_is_no_message_ends(data: bytes) -> None:
    assert count_parts(data, frozenset({1, 5})) <= 20


def test_what_is_no_message_is_left_to_the_parser_to_tell() -> None:
    with pytest.raises(DecodeError):
        bounded(pb.ModelReadyRequest)(b"\xff\xff\xff")
