"""ModelInfer, message by message: what a request may hold, and what each fault in it is answered with.

Source: Open Inference Protocol, "GRPC", ModelInferRequest and "raw tensor contents"; docs/serving.md for statuses.
"""

from collections.abc import Callable

import grpc
import numpy as np
import pytest
from claims import answer_to, rows
from wire import SHAPE, ask, call, changed, good, typed

from grpc_api.converters import decode_output, split_bytes
from grpc_api.stubs import knockguard_inference_pb2 as pb

Code = grpc.StatusCode
Request = pb.ModelInferRequest


def parameter(place: Callable[[Request], object], name: str, **value: object) -> Callable[[Request], None]:
    def change(request: Request) -> None:
        for kind, given in value.items():
            setattr(place(request).parameters[name], kind, given)  # type: ignore[attr-defined]

    return change


def wish(name: str, classes: int | None = None) -> Callable[[Request], None]:
    def change(request: Request) -> None:
        output = request.outputs.add(name=name)
        if classes is not None:
            output.parameters["classification"].int64_param = classes

    return change


def both(request: Request) -> None:
    wish("probabilities")(request)
    wish("probabilities")(request)


def first_input(request: Request) -> object:
    return request.inputs[0]


def own_output(request: Request) -> object:
    return request.outputs[0] if request.outputs else request.outputs.add(name="probabilities")


def empty_contents(request: Request) -> None:
    request.inputs[0].contents.SetInParent()


GOOD = {
    "as it should be": good(),
    "typed": typed(np.zeros((1, *SHAPE), np.float32)),
    "the newest version": good(model_version=""),
    "the right version": good(model_version="3"),
    "an output asked for twice comes once": changed(both),
    "contents that are there and empty, beside raw ones": changed(empty_contents),
    "parameters of one's own": changed(parameter(lambda r: r, "sequence", int64_param=7)),
    "parameters of an input": changed(parameter(first_input, "binary_data_size", int64_param=192)),
    "parameters of an output": changed(parameter(own_output, "binary_data", bool_param=True)),
    "an id of any characters": good(id="\u4e2d " * 1000),
    "no rows": ask(np.zeros((0, *SHAPE), np.float32)),
    "no rows, typed": typed(np.zeros((0, *SHAPE), np.float32)),
    "no rows of grey levels": ask(np.zeros((0, 4, 4, 3), np.uint8)),
}


@pytest.mark.parametrize("request_", GOOD.values(), ids=GOOD)
def test_good_request_is_answered_with_the_one_output_in_its_own_form(channel: grpc.Channel, request_: Request) -> None:
    response = call(channel, request_)
    assert [(o.name, o.datatype) for o in response.outputs] == [("probabilities", "FP32")]
    n = request_.inputs[0].shape[0]
    np.testing.assert_allclose(decode_output(response, 0), np.full((n, 3), 1 / 3), atol=1e-6)
    assert len(response.raw_output_contents) == len(request_.raw_input_contents)
    assert bool(response.outputs[0].contents.fp32_contents) == (n > 0 and not request_.raw_input_contents)
    assert (response.id, response.model_name, response.model_version) == (request_.id, "tiny", "3")
    assert dict(response.parameters.items()) == dict(request_.parameters.items())


def no_files(request: Request) -> None:
    request.inputs[0].datatype = "BYTES"
    request.inputs[0].shape[:] = [0]
    request.raw_input_contents[0] = b""


def test_no_files_are_no_rows(channel: grpc.Channel) -> None:
    assert decode_output(call(channel, changed(no_files)), 0).shape == (0, 3)


@pytest.mark.parametrize("as_raw", [True, False])
def test_likeliest_classes_come_in_words_and_never_more_than_there_are(channel: grpc.Channel, as_raw: bool) -> None:
    images = np.concatenate([rows(0.1), rows(0.95)])
    request = changed(wish("probabilities", 9), (ask if as_raw else typed)(images))
    response = call(channel, request)
    (output,) = response.outputs
    assert (output.datatype, list(output.shape)) == ("BYTES", [2, 3])
    words = split_bytes(response.raw_output_contents[0], 6, name="x") if as_raw else list(output.contents.bytes_contents)
    first = answer_to(images)[0]
    assert words[:3] == [f"{first[i]:f}:{i}:{label}".encode() for i, label in enumerate(("red", "green", "blue"))]
    assert words[3:] == [b"1.000000:0:red", b"0.000000:1:green", b"0.000000:2:blue"]  # flagged: the policy's, no more


def nothing(request: Request) -> None:
    del request.inputs[:], request.raw_input_contents[:]


def twice(request: Request) -> None:
    request.inputs.append(request.inputs[0])
    request.raw_input_contents.append(request.raw_input_contents[0])


def second(request: Request) -> None:
    request.inputs.add(name="age", datatype="FP32", shape=[1, 1])
    request.raw_input_contents.append(bytes(4))


def second_typed(request: Request) -> None:
    request.inputs.add(name="age", datatype="FP32", shape=[1, 1]).contents.fp32_contents.append(1.0)


def both_forms(request: Request) -> None:
    request.inputs[0].contents.fp32_contents.append(1.0)


def wrong_field(request: Request) -> None:
    request.inputs[0].contents.ClearField("fp32_contents")
    request.inputs[0].contents.fp64_contents.extend([0.0] * 48)


def half_typed(request: Request) -> None:
    request.inputs[0].datatype = "FP16"


def shape(*dims: int) -> Request:
    return changed(lambda request: request.inputs[0].shape.__setitem__(slice(None), dims))


def many_bytes(request: Request) -> None:
    request.inputs[0].datatype = "BYTES"
    request.inputs[0].shape[:] = [1 << 20]
    request.raw_input_contents[0] = bytes(4 << 20)


def one_typed() -> Request:
    return typed(np.zeros((1, *SHAPE), np.float32))


def field(name: str, value: object) -> Request:
    return changed(lambda request: setattr(request.inputs[0], name, value))


BAD = {
    "unknown model": (good(model_name="tinny"), Code.NOT_FOUND, "did you mean 'tiny'"),
    "no model": (good(model_name=""), Code.NOT_FOUND, "there is no model ''"),
    "unknown version": (good(model_version="4"), Code.NOT_FOUND, "it has 3"),
    "version that is no number": (good(model_version="latest"), Code.NOT_FOUND, "no version 'latest'"),
    "version written otherwise": (good(model_version="03"), Code.NOT_FOUND, "it has 3"),
    "no input": (changed(nothing), Code.INVALID_ARGUMENT, "takes one input, 'image'"),
    "the input twice": (changed(twice), Code.INVALID_ARGUMENT, "got 'image', 'image'; the model takes one input"),
    "a side input": (changed(second), Code.INVALID_ARGUMENT, "got 'image', 'age'; the model takes one input, 'image'"),
    "a side input, typed": (changed(second_typed, one_typed()), Code.INVALID_ARGUMENT, "takes one input"),
    "one input raw, one typed": (changed(second_typed), Code.INVALID_ARGUMENT, "2 inputs and 1 raw"),
    "more raw contents than inputs": (
        changed(lambda r: r.raw_input_contents.append(b"")), Code.INVALID_ARGUMENT, "1 inputs and 2 raw"),
    "raw contents and no input": (changed(lambda r: r.inputs.pop()), Code.INVALID_ARGUMENT, "0 inputs and 1 raw"),
    "no contents": (changed(lambda r: r.raw_input_contents.pop()), Code.INVALID_ARGUMENT, "0 values in fp32_contents"),
    "raw and typed": (changed(both_forms), Code.INVALID_ARGUMENT, "both contents and raw"),
    "a value too many": (changed(both_forms, one_typed()), Code.INVALID_ARGUMENT, "49 values"),
    "another field": (changed(wrong_field, one_typed()), Code.INVALID_ARGUMENT, "belongs in fp32_contents, not in fp64_contents"),
    "FP16, typed": (changed(half_typed, one_typed()), Code.INVALID_ARGUMENT, "send it in raw_input_contents"),
    "wrong name": (field("name", "pixels"), Code.INVALID_ARGUMENT, "'image'"),
    "no name": (field("name", ""), Code.INVALID_ARGUMENT, "got ''"),
    "wrong size": (ask(np.zeros((1, 3, 5, 5), np.float32)), Code.INVALID_ARGUMENT, "must have shape [-1, 3, 4, 4]"),
    "no batch": (ask(np.zeros(SHAPE, np.float32)), Code.INVALID_ARGUMENT, "must have shape [-1, 3, 4, 4]"),
    "no shape": (ask(np.zeros((), np.float32)), Code.INVALID_ARGUMENT, "must have shape [-1, 3, 4, 4]"),
    "too many rows": (ask(np.zeros((257, *SHAPE), np.float32)), Code.INVALID_ARGUMENT, "at most 256"),
    "too many dimensions": (shape(*[1] * 9), Code.INVALID_ARGUMENT, "9 dimensions"),
    "negative": (shape(-1, *SHAPE), Code.INVALID_ARGUMENT, "negative"),
    "negative twice": (shape(-1, 3, -4, 4), Code.INVALID_ARGUMENT, "negative"),
    "absurd": (shape(1 << 60, *SHAPE), Code.INVALID_ARGUMENT, "at most"),
    "absurd, its product zero in 64 bits": (shape(1 << 32, 1 << 32, 1 << 32), Code.INVALID_ARGUMENT, "at most"),
    "byte count": (shape(2, *SHAPE), Code.INVALID_ARGUMENT, "needs 384"),
    "no datatype": (field("datatype", ""), Code.INVALID_ARGUMENT, "known are"),
    "unknown datatype": (field("datatype", "F32"), Code.INVALID_ARGUMENT, "known are"),
    "datatype in small letters": (field("datatype", "fp32"), Code.INVALID_ARGUMENT, "known are"),
    "too far": (ask(np.full((1, *SHAPE), 3e38, np.float32)), Code.INVALID_ARGUMENT, "has no answer"),
    "many BYTES": (changed(many_bytes), Code.INVALID_ARGUMENT, "at most 65536 BYTES"),
    **{
        f"output {name}": (changed(wish(name)), Code.INVALID_ARGUMENT, f"no output '{name}'; the model has 'probabilities'")
        for name in ("scores", "logits", "penultimate", "stage1", "Probabilities", "")
    },
    "one output good and one not": (changed(lambda r: (wish("probabilities")(r), wish("scores")(r))),
                                    Code.INVALID_ARGUMENT, "no output 'scores'"),
    "endless name": (changed(wish("x" * 20_000)), Code.INVALID_ARGUMENT, "there is no output 'xxx"),
    "endless foreign name": (changed(wish("\u4e2d" * 20_000)), Code.INVALID_ARGUMENT, "the model has"),
    "no classes": (changed(wish("probabilities", 0)), Code.INVALID_ARGUMENT, "1 or more"),
    "fewer than no classes": (changed(wish("probabilities", -1)), Code.INVALID_ARGUMENT, "1 or more"),
    "classes of an input": (
        changed(parameter(first_input, "classification", int64_param=1)), Code.INVALID_ARGUMENT, "sent whole"),
    "shared memory in": (
        changed(parameter(first_input, "shared_memory_region", string_param="a")), Code.INVALID_ARGUMENT, "sent whole"),
    "shared memory out": (
        changed(parameter(own_output, "shared_memory_region", string_param="a")), Code.INVALID_ARGUMENT, "sent whole"),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "code", "sentence"), BAD.values(), ids=BAD)
def test_bad_request_gets_its_status_and_a_sentence_that_helps(
    channel: grpc.Channel, request_: Request, code: Code, sentence: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, request_)
    assert caught.value.code() is code
    assert sentence in caught.value.details()
    assert "/" not in caught.value.details()  # no path of the server
    assert decode_output(call(channel, good()), 0).shape == (1, 3)  # and the gateway goes on


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_message_over_the_limit_is_refused_however_small_it_travels(channel: grpc.Channel, compression: grpc.Compression) -> None:
    request = changed(lambda r: r.raw_input_contents.__setitem__(0, bytes(65 << 20)))
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, request, compression=compression)
    assert caught.value.code() is Code.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_request_is_read(channel: grpc.Channel, compression: grpc.Compression) -> None:
    assert decode_output(call(channel, good(), compression=compression), 0).shape == (1, 3)
