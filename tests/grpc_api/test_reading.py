"""Messages of many parts are refused before they are parsed, and all that a client can mean is read."""

from collections.abc import Callable

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from grpc_api.reading import MAX_CONTENTS, MAX_PARTS, bounded
from grpc_api.stubs import knockguard_inference_pb2 as pb
from guard.errors import InvalidInputError

Request = pb.ModelInferRequest
READ = bounded(Request)


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
    request.inputs.add(name="image", datatype="BYTES", shape=[4096]).contents.bytes_contents.extend([b"\xff\xd8"] * 4096)
    return request


@pytest.mark.parametrize("make", [ordinary, typed, encoded, Request])
def test_what_a_client_can_mean_is_read(make: Callable[[], Request]) -> None:
    assert READ(make().SerializeToString()) == make()


def varint(value: int) -> bytes:
    return bytes([value & 0x7F | 0x80]) + varint(value >> 7) if value > 0x7F else bytes([value])


def inside(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


MANY = MAX_PARTS + 1
EMPTY_FILES = b"\x42\x00" * (MAX_CONTENTS + 1)
FLOODS = {
    "inputs": inside(5, b"") * MANY,
    "outputs": inside(6, b"") * MANY,
    "parameters": inside(4, b"") * MANY,
    "raw contents": inside(7, b"") * MANY,
    "unknown numbers": b"\xf8\x07\x01" * MANY,
    "unknown fixed": b"\xfd\x07abcd" * MANY,
    "parameters of one input": inside(5, inside(4, b"") * MANY),
    "parameters of several inputs": inside(5, inside(4, b"") * 300) * 2,
    "files of no bytes": inside(5, inside(5, EMPTY_FILES)),
    "files of no bytes, in two inputs": inside(5, inside(5, EMPTY_FILES[: MAX_CONTENTS + 2])) * 2,
    "numbers that are not packed": inside(5, inside(5, b"\x08\x01" * (MAX_CONTENTS + 1))),
}


@pytest.mark.parametrize("name", FLOODS)
def test_more_parts_than_a_request_needs_are_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match=f"more than {MAX_PARTS} fields"):
        READ(b"\x0a\x06shapes" + FLOODS[name])


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x2a\xff\xff\xff\xff\x0f", b"\x2a", b"\x08" + b"\xff" * 20])
def test_what_is_no_message_is_told_so(data: bytes) -> None:
    with pytest.raises(DecodeError):
        READ(data)


@pytest.mark.parametrize("group", [b"\x7b\x7c", b"\x0b", inside(5, b"\x7b\x7c")])
def test_groups_hide_nothing(group: bytes) -> None:
    with pytest.raises(DecodeError):
        READ(group + inside(5, b"") * MANY)


PIECES = st.sampled_from(
    [b"\x2a", b"\x00", b"\x22", b"\x42\x00", b"\x7b", b"\x7c", b"\xff", b"\x0a\x01a", inside(5, b""), inside(5, b"\x22\x00")]
)


@given(st.lists(PIECES, max_size=40), st.integers(0, 3))
def test_nothing_that_is_parsed_has_more_parts_than_were_counted(pieces: list[bytes], times: int) -> None:
    data = b"".join(pieces) + inside(5, b"") * (300 * times)
    try:
        request = READ(data)
    except (DecodeError, InvalidInputError):
        return
    assert len(request.inputs) + len(request.outputs) + len(request.parameters) <= MAX_PARTS
    assert sum(len(i.parameters) for i in request.inputs) <= MAX_PARTS
