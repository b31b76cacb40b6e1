"""The wire's numbers: what goes in comes out, and what cannot be true is refused before anything is allocated."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_api.converters import DATATYPES, decode_inputs, decode_output, decode_outputs, encode_input, encode_output, split_bytes
from grpc_api.stubs import knockguard_inference_pb2 as pb
from guard.errors import InvalidInputError

NUMBERS = sorted(set(DATATYPES) - {"BYTES"})
TYPED = sorted(name for name, (_, field) in DATATYPES.items() if field)
shapes = st.lists(st.integers(0, 5), min_size=0, max_size=4)


def values(datatype: str, shape: list[int], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    dtype = DATATYPES[datatype][0]
    if datatype == "BYTES":
        array = np.empty(math.prod(shape), object)
        array[:] = [rng.bytes(rng.integers(0, 9)) for _ in range(array.size)]
        return array.reshape(shape)
    return rng.integers(0, 2 if datatype == "BOOL" else 100, shape).astype(dtype)


def raw(array: np.ndarray) -> bytes:
    if array.dtype == object:
        return b"".join(len(e).to_bytes(4, "little") + e for e in array.ravel())
    return array.tobytes()


def request(datatype: str, shape: list[int], content: bytes | None) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest()
    message.inputs.add(name="x", datatype=datatype, shape=shape)
    if content is not None:
        message.raw_input_contents.append(content)
    return message


@given(st.sampled_from(sorted(set(DATATYPES) - {"BF16"})), shapes, st.integers(0, 99))  # that has a test of its own
def test_raw_contents_round_trip(datatype: str, shape: list[int], seed: int) -> None:
    sent = values(datatype, shape, seed)
    (tensor,) = decode_inputs(request(datatype, shape, raw(sent)))
    np.testing.assert_array_equal(tensor.read(), sent)
    assert tensor.read().shape == tensor.shape == tuple(shape)


@given(st.sampled_from(TYPED), shapes, st.integers(0, 99))
def test_typed_contents_round_trip(datatype: str, shape: list[int], seed: int) -> None:
    sent = values(datatype, shape, seed)
    message = request(datatype, shape, None)
    getattr(message.inputs[0].contents, DATATYPES[datatype][1]).extend(sent.ravel().tolist())
    (tensor,) = decode_inputs(message)
    np.testing.assert_array_equal(tensor.read(), sent)


@given(st.sampled_from(NUMBERS), shapes, st.integers(-3, 40).filter(bool))
def test_raw_contents_of_another_size_are_refused(datatype: str, shape: list[int], extra: int) -> None:
    content = raw(values(datatype, shape, 0))
    wrong = content + bytes(extra) if extra > 0 else content[:extra]
    if len(wrong) == len(content):
        return
    with pytest.raises(InvalidInputError, match="bytes"):
        decode_inputs(request(datatype, shape, wrong))


@given(st.binary(max_size=64), st.integers(0, 6))
def test_bytes_elements_are_all_or_an_error_never_a_crash(content: bytes, n: int) -> None:
    try:
        elements = split_bytes(content, n, name="x")
    except InvalidInputError:
        return
    assert len(elements) == n
    assert sum(4 + len(e) for e in elements) == len(content)


@pytest.mark.parametrize("shape", [[-1, 3], [1 << 40], [1 << 33, 1 << 33], [1] * 9, [1 << 62, 4]])
def test_absurd_shapes_are_refused(shape: list[int]) -> None:
    with pytest.raises(InvalidInputError, match="input 'x'"):
        decode_inputs(request("FP32", shape, b""))


def test_absurd_shape_with_a_zero_in_it_is_empty_not_absurd() -> None:
    assert decode_inputs(request("FP32", [1 << 40, 0], b""))[0].read().size == 0


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_precision_exists_only_raw(datatype: str) -> None:
    message = request(datatype, [1], None)
    message.inputs[0].contents.fp32_contents.append(1.0)
    with pytest.raises(InvalidInputError, match="raw_input_contents"):
        decode_inputs(message)


def test_mixed_contents_are_refused() -> None:
    message = request("FP32", [1], b"\0\0\0\0")
    message.inputs[0].contents.fp32_contents.append(1.0)
    with pytest.raises(InvalidInputError, match="both contents and raw"):
        decode_inputs(message)


def test_count_of_raw_contents_must_be_that_of_inputs() -> None:
    message = request("FP32", [1], b"\0\0\0\0")
    message.inputs.add(name="y", datatype="FP32", shape=[1])
    with pytest.raises(InvalidInputError, match="2 inputs and 1 raw_input_contents"):
        decode_inputs(message)


def test_typed_contents_in_the_wrong_field_are_named() -> None:
    message = request("FP32", [1], None)
    message.inputs[0].contents.int_contents.append(1)
    with pytest.raises(InvalidInputError, match="belongs in fp32_contents, not in int_contents"):
        decode_inputs(message)


def test_value_that_its_type_cannot_hold_is_refused() -> None:
    message = request("INT8", [1], None)
    message.inputs[0].contents.int_contents.append(300)
    with pytest.raises(InvalidInputError, match="INT8 cannot"):
        decode_inputs(message)[0].read()


def test_value_far_down_a_long_field_is_checked_too() -> None:
    n = 100_000
    message = request("UINT8", [n], None)
    message.inputs[0].contents.uint_contents.extend(i % 256 for i in range(n))
    np.testing.assert_array_equal(decode_inputs(message)[0].read(), np.arange(n) % 256)
    message.inputs[0].contents.uint_contents[n - 1] = 256
    with pytest.raises(InvalidInputError, match="UINT8 cannot"):
        decode_inputs(message)[0].read()


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_fields_that_nobody_knows_do_not_shift_the_numbers(datatype: str) -> None:
    known = request(datatype, [3], None)
    getattr(known.inputs[0].contents, DATATYPES[datatype][1]).extend([1.0, 2.0, 3.0])
    unknown = bytes([14 << 3 | 2, 4]) + b"abcd"
    message = request(datatype, [3], None)
    message.inputs[0].contents.MergeFromString(unknown + known.inputs[0].contents.SerializeToString() + unknown)
    np.testing.assert_array_equal(decode_inputs(message)[0].read(), [1, 2, 3])


def test_unknown_datatype_is_named() -> None:
    with pytest.raises(InvalidInputError, match="'FP23'; known are"):
        decode_inputs(request("FP23", [1], b"\0\0\0\0"))


@pytest.mark.parametrize("as_raw", [True, False])
@given(shape=st.tuples(st.integers(0, 4), st.integers(1, 5)))
def test_output_round_trips_raw_and_typed(as_raw: bool, shape: tuple[int, int]) -> None:
    sent = np.random.default_rng(0).random(shape).astype(np.float32)
    response = pb.ModelInferResponse()
    encode_output(response, "probabilities", sent, raw=as_raw)
    assert bool(response.raw_output_contents) is as_raw
    np.testing.assert_array_equal(decode_output(response, 0), sent)


def test_answer_that_does_not_fit_its_shape_is_refused() -> None:
    response = pb.ModelInferResponse()
    encode_output(response, "probabilities", np.zeros((2, 2), np.float32), raw=True)
    response.outputs[0].shape[0] = 3
    with pytest.raises(InvalidInputError, match="no tensor of floats of shape"):
        decode_output(response, 0)


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
@pytest.mark.parametrize("raw", [True, False])
def test_named_outputs_of_any_float_are_read_in_the_order_asked_for(datatype: str, raw: bool) -> None:
    response = pb.ModelInferResponse()
    dtype, field = DATATYPES[datatype]
    for name, value in (("a", 0.5), ("b", 0.25)):
        output = response.outputs.add(name=name, datatype=datatype, shape=[1, 2])
        if raw:
            response.raw_output_contents.append(np.full(2, value, dtype).tobytes())
        elif field is not None:
            getattr(output.contents, field).extend([value] * 2)
    if not raw and datatype == "FP16":  # it exists only raw
        with pytest.raises(InvalidInputError, match="no tensor of floats"):
            decode_outputs(response, ("b",))
        return
    b, a = decode_outputs(response, ("b", "a"))
    assert a.dtype == b.dtype == np.float32
    np.testing.assert_array_equal([a[0, 0], b[0, 0]], [0.5, 0.25])
    with pytest.raises(InvalidInputError, match="no output 'c'; it has a, b"):
        decode_outputs(response, ("c",))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_our_client_sends_decodes(dtype: type) -> None:
    sent = np.arange(12).reshape(1, 3, 4).astype(dtype)
    message = pb.ModelInferRequest()
    encode_input(message, "x", sent)
    (tensor,) = decode_inputs(message)
    np.testing.assert_array_equal(tensor.read(), sent)
