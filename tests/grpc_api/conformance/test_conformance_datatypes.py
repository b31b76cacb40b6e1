"""Every datatype of the protocol, raw and typed: several inputs at once, the ends of its range, and sizes that cannot be."""

import grpc
import numpy as np
import pytest
from client_stubs import FIELDS, raw
from wire import SHAPE, call, good

from grpc_api.converters import DATATYPES, decode_inputs
from grpc_api.inputs import FLOATS
from grpc_api.stubs import knockguard_inference_pb2 as pb
from guard.errors import InvalidInputError

# datatype -> values at the ends of its range, and bytes of one
ENDS = {
    "BOOL": (np.array([False, True]), 1),
    "UINT8": (np.array([0, 255], np.uint8), 1),
    "UINT16": (np.array([0, 65535], np.uint16), 2),
    "UINT32": (np.array([0, 2**32 - 1], np.uint32), 4),
    "UINT64": (np.array([0, 2**64 - 1], np.uint64), 8),
    "INT8": (np.array([-128, 127], np.int8), 1),
    "INT16": (np.array([-32768, 32767], np.int16), 2),
    "INT32": (np.array([-(2**31), 2**31 - 1], np.int32), 4),
    "INT64": (np.array([-(2**63), 2**63 - 1], np.int64), 8),
    "FP16": (np.array([-65504, 6e-8], np.float16), 2),
    "BF16": (np.array([-(2.0**127), 2.0**-130], np.float32), 2),
    "FP32": (np.array([-3.4028235e38, 1e-45], np.float32), 4),
    "FP64": (np.array([-1.7976931348623157e308, 5e-324]), 8),
    "BYTES": (np.array([b"", b"\0\xff"], dtype=object), None),
}
FIRST_BEYOND = {"UINT8": 256, "UINT16": 1 << 16, "INT8": 128, "INT16": 1 << 15}
TYPED = [datatype for datatype in ENDS if datatype in FIELDS]


def test_table_has_every_datatype_of_the_protocol() -> None:
    assert set(ENDS) == set(DATATYPES)
    assert {datatype: field for datatype, (_, field) in DATATYPES.items() if field} == FIELDS


def test_inputs_of_all_datatypes_in_one_raw_request_are_read_in_their_order() -> None:
    request = pb.ModelInferRequest()
    for datatype, (values, _) in ENDS.items():
        request.inputs.add(name=datatype.lower(), datatype=datatype, shape=[1, 2])
        request.raw_input_contents.append(raw(values, datatype))
    check(request, list(ENDS))


def test_inputs_of_all_datatypes_in_one_typed_request_are_read_in_their_order() -> None:
    request = pb.ModelInferRequest()
    for datatype in TYPED:
        item = request.inputs.add(name=datatype.lower(), datatype=datatype, shape=[1, 2])
        getattr(item.contents, FIELDS[datatype]).extend(ENDS[datatype][0].tolist())
    check(request, TYPED)


def check(request: pb.ModelInferRequest, datatypes: list[str]) -> None:
    tensors = decode_inputs(request)
    assert [(t.name, t.datatype, t.shape) for t in tensors] == [(d.lower(), d, (1, 2)) for d in datatypes]
    for tensor in tensors:
        values = tensor.read()
        assert values.dtype == ENDS[tensor.datatype][0].dtype
        np.testing.assert_array_equal(values, ENDS[tensor.datatype][0].reshape(1, 2))


@pytest.mark.parametrize("datatype", FIRST_BEYOND)
@pytest.mark.parametrize("sign", [1, -1])
def test_value_beyond_a_narrow_types_range_is_refused(datatype: str, sign: int) -> None:
    value = FIRST_BEYOND[datatype]
    if sign < 0:
        if datatype.startswith("U"):  # the field itself holds none
            return
        value = -value - 1
    request = pb.ModelInferRequest()
    item = request.inputs.add(name="x", datatype=datatype, shape=[1])
    getattr(item.contents, FIELDS[datatype]).append(value)
    with pytest.raises(InvalidInputError, match=f"a value that {datatype} cannot"):
        decode_inputs(request)[0].read()


def test_bfloat16_is_read_exactly_whatever_number_it_is() -> None:
    bits = np.arange(1 << 16, dtype="<u2")
    request = pb.ModelInferRequest(raw_input_contents=[bits.tobytes()])
    request.inputs.add(name="x", datatype="BF16", shape=[1 << 16])
    values = decode_inputs(request)[0].read()
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values.view("<u4") >> 16, bits)
    assert not (values.view("<u4") & 0xFFFF).any()


@pytest.mark.parametrize("extra", [-1, 1])
@pytest.mark.parametrize("datatype", [d for d in ENDS if d != "BYTES"])
def test_byte_too_many_or_too_few_is_told_with_the_right_number(channel: grpc.Channel, datatype: str, extra: int) -> None:
    size = ENDS[datatype][1]
    assert size is not None
    needed = 48 * size
    request = good()
    request.inputs[0].datatype = datatype
    request.raw_input_contents[0] = bytes(needed + extra)
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"has {needed + extra} bytes; {datatype} of shape [1, 3, 4, 4] needs {needed}" in caught.value.details()


@pytest.mark.parametrize("datatype", TYPED)
@pytest.mark.parametrize("extra", [-1, 1])
def test_value_too_many_or_too_few_is_told_with_the_right_number(channel: grpc.Channel, datatype: str, extra: int) -> None:
    request = pb.ModelInferRequest(model_name="tiny")
    shape = [2, *SHAPE] if datatype != "BYTES" else [2]
    item = request.inputs.add(name="image", datatype=datatype, shape=shape)
    n = int(np.prod(shape)) + extra
    getattr(item.contents, FIELDS[datatype]).extend([b"x" if datatype == "BYTES" else 1] * n)
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"has {n} values in {FIELDS[datatype]}" in caught.value.details()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "element 0 of 1 has no length"), (b"\1\0\0", "has no length"), (b"\2\0\0\0a", "claims 2 bytes, 1 are left"),
     (b"\xff\xff\xff\xffa", "claims 4294967295 bytes"), (b"\1\0\0\0abc", "2 bytes after its 1 elements")],
    ids=["nothing", "half a length", "cut short", "absurd length", "more behind"],
)  # fmt: skip
def test_bytes_that_do_not_add_up_are_told(channel: grpc.Channel, content: bytes, sentence: str) -> None:
    request = good()
    request.inputs[0].datatype, request.inputs[0].shape[:] = "BYTES", [1]
    request.raw_input_contents[0] = content
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert sentence in caught.value.details()


def test_same_image_gets_the_same_answer_as_any_float(channel: grpc.Channel) -> None:
    images = np.random.default_rng(3).integers(0, 64, (4, *SHAPE)).astype(np.float32) / 128  # exact in all of them
    answers = []
    for datatype in FLOATS:
        dtype = {"FP32": "<f4", "FP64": "<f8", "FP16": "<f2", "BF16": "<f4"}[datatype]
        request = pb.ModelInferRequest(model_name="tiny", raw_input_contents=[raw(images.astype(dtype), datatype)])
        request.inputs.add(name="image", datatype=datatype, shape=images.shape)
        answers.append(call(channel, request).raw_output_contents[0])
    assert len(set(answers)) == 1
