"""The guard inside a host that already speaks V2: threads, coroutines, and plain functions on an event loop, all alike."""

import io
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import numpy as np
import pytest
import structlog
import tritonclient.grpc as triton
from PIL import Image
from plain_host import AioPlainHost, PlainHost, aio_host, plain_host
from test_proxy import plain_model
from tiny_bundle import rows_of, tiny_manifest, tiny_model
from tritonclient.grpc import service_pb2 as pb
from tritonclient.utils import InferenceServerException

from grpc_api.backends.answer import Answer
from grpc_api.backends.embedded import Embedded
from grpc_api.backends.scorer import Scorer
from grpc_api.inside import AioGuardInterceptor, GuardedModel, GuardInterceptor
from guard.bundle import Bundle
from guard.errors import ConfigError
from guard.guard import Guard
from guard.secret import Secret, write_secret

BUNDLE = Bundle(tiny_manifest(model=tiny_model()), tiny_model())
MANIFEST = BUNDLE.manifest
ROWS = np.concatenate([rows_of(0.1, 2), rows_of(0.95)])
PLAIN = Embedded(BUNDLE, provider="cpu").infer(ROWS)[0]
Serve = Callable[..., AbstractContextManager[str]]


def threads(host: PlainHost, models: Sequence[GuardedModel], **options: Any) -> AbstractContextManager[str]:
    return plain_host(host, interceptors=[GuardInterceptor(models, **options)])


def coroutines(host: PlainHost, models: Sequence[GuardedModel], **options: Any) -> AbstractContextManager[str]:
    return aio_host(AioPlainHost(host), interceptors=[AioGuardInterceptor(models, **options)])


def functions(host: PlainHost, models: Sequence[GuardedModel], **options: Any) -> AbstractContextManager[str]:
    return aio_host(host, interceptors=[AioGuardInterceptor(models, **options)])


every_way = pytest.mark.parametrize("serve", [threads, coroutines, functions])


def guarded(policy: str = "label-only", *, secret: Secret | None = None, **options: Any) -> GuardedModel:
    return GuardedModel(MANIFEST, Guard.of(MANIFEST, policy=policy, secret=secret), **options)


def item_of(values: np.ndarray, datatype: str = "FP32") -> triton.InferInput:
    item = triton.InferInput("image", list(values.shape), datatype)
    item.set_data_from_numpy(values)
    return item


def ask(
    address: str, values: np.ndarray = ROWS, *, model: str = "tiny", output: str = "probabilities", **more: Any
) -> np.ndarray:
    with triton.InferenceServerClient(address) as client:
        return client.infer(model, [item_of(values)], **more).as_numpy(output)


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(InferenceServerException) as caught:
        call()
    return str(caught.value.status()).removeprefix("StatusCode."), caught.value.message()


def call_raw(address: str, method: str, request: Any, response: Any) -> Any:
    with grpc.insecure_channel(address) as channel:
        send = channel.unary_unary(
            f"/inference.GRPCInferenceService/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        return send(request, timeout=10)


@every_way
def test_flagged_rows_are_the_policys_and_the_rest_of_the_response_is_the_hosts(serve: Serve) -> None:
    with serve(PlainHost(tiny_model()), [guarded()]) as address, triton.InferenceServerClient(address) as client:
        response = client.infer("tiny", [item_of(ROWS)], request_id="q7").get_response()
        assert [o.name for o in response.outputs] == ["probabilities"]
        assert len(response.raw_output_contents) == 1
        assert (response.id, response.model_name, response.model_version) == ("q7", "tiny", "3")
        assert response.parameters["host"].string_param == "plain"
        answers = ask(address)
    np.testing.assert_allclose(answers[:2], PLAIN[:2], rtol=1e-6)
    np.testing.assert_array_equal(answers[2], [1, 0, 0])


@every_way
def test_output_that_was_asked_for_comes_alone_though_the_host_is_asked_for_the_scores_too(serve: Serve) -> None:
    host = PlainHost(tiny_model())
    with serve(host, [guarded()]) as address:
        answers = ask(address, outputs=[triton.InferRequestedOutput("probabilities")])
        assert [wish.name for wish in host.asked[-1].outputs] == ["probabilities", "scores"]
        np.testing.assert_array_equal(answers[2], [1, 0, 0])
        for name in ("scores", "logits"):
            status, message = refusal(lambda name=name: ask(address, outputs=[triton.InferRequestedOutput(name)]))
            assert (status, f"no output '{name}'" in message) == ("INVALID_ARGUMENT", True)
        counted = [triton.InferRequestedOutput("probabilities", class_count=3)]
        assert refusal(lambda: ask(address, outputs=counted))[0] == "INVALID_ARGUMENT"


@every_way
def test_typed_request_gets_a_typed_answer(serve: Serve) -> None:
    request = pb.ModelInferRequest(model_name="tiny")
    item = request.inputs.add(name="image", datatype="FP32", shape=ROWS.shape)
    item.contents.fp32_contents.extend(ROWS.ravel().tolist())
    with serve(PlainHost(tiny_model()), [guarded()]) as address:
        response = call_raw(address, "ModelInfer", request, pb.ModelInferResponse)
    assert not response.raw_output_contents
    (output,) = response.outputs
    np.testing.assert_array_equal(output.contents.fp32_contents[6:], [1, 0, 0])


@every_way
def test_what_nobody_guards_is_not_answered(serve: Serve) -> None:
    with serve(PlainHost(tiny_model()), [guarded()]) as address:
        assert refusal(lambda: ask(address, model="other"))[0] == "UNIMPLEMENTED"
        assert refusal(lambda: ask(address, model_version="2"))[0] == "NOT_FOUND"
        with triton.InferenceServerClient(address) as client:
            assert client.is_server_live()
            assert client.is_model_ready("tiny")
            assert [o.name for o in client.get_model_metadata("tiny").outputs] == ["probabilities"]
            for call in (
                lambda: client.get_model_metadata("other"),
                lambda: client.get_model_config("tiny"),
                client.unload_model,
            ):
                assert refusal(lambda call=call: call("tiny") if call == client.unload_model else call())[0] == "UNIMPLEMENTED"
        with grpc.insecure_channel(address) as channel:
            send = channel.stream_stream(
                "/inference.GRPCInferenceService/ModelStreamInfer",
                request_serializer=pb.ModelInferRequest.SerializeToString,
                response_deserializer=pb.ModelStreamInferResponse.FromString,
            )
            stream = send(iter([pb.ModelInferRequest(model_name="tiny")]), timeout=10)
            with pytest.raises(grpc.RpcError, match="not guarded"):
                next(stream)


@every_way
def test_model_that_is_said_to_be_unguarded_is_answered_as_it_is(serve: Serve) -> None:
    with serve(PlainHost(tiny_model()), [guarded()], unguarded=("other",)) as address:
        np.testing.assert_allclose(ask(address, model="other"), PLAIN, rtol=1e-6)
        assert ask(address, model="other", output="scores") is not None


@every_way
def test_plain_model_is_guarded_by_the_bundles_own_graph_and_answers_in_its_own_terms(serve: Serve) -> None:
    model = guarded(answer=Answer("logits", logits=True), score=Scorer(BUNDLE, provider="cpu").scores)
    with serve(PlainHost(plain_model("logits")), [model]) as address:
        answers = ask(address, output="logits")
    np.testing.assert_allclose(np.exp(answers[:2]), PLAIN[:2], rtol=1e-5)  # each row sums to one, altered or not
    assert np.isfinite(answers).all()
    np.testing.assert_allclose(np.exp(answers[2]), [1, 0, 0], atol=1e-6)


@every_way
def test_keyed_policy_answers_the_same_image_the_same_whichever_way_it_came(serve: Serve, tmp_path: Path) -> None:
    secret = write_secret(tmp_path / "secret")
    images = np.random.default_rng(0).integers(200, 256, (32, 4, 4, 3), dtype=np.uint8)  # all keep their top label: 3**-32
    floats = np.moveaxis(images / np.float32(255), 3, 1).astype(np.float32)
    inputs = np.ascontiguousarray(floats)
    guard = Guard.of(MANIFEST, policy="shuffle", secret=secret)
    expected = guard.answer(inputs, *Embedded(BUNDLE, provider="cpu").infer(inputs))
    with serve(PlainHost(tiny_model()), [GuardedModel(MANIFEST, guard)]) as address:
        answers = ask(address, inputs)
        np.testing.assert_allclose(answers, expected, rtol=1e-6)
    assert (answers.argmax(axis=1) != Embedded(BUNDLE, provider="cpu").infer(inputs)[0].argmax(axis=1)).any()


def test_encoded_image_has_the_key_of_its_pixels(tmp_path: Path) -> None:
    secret = write_secret(tmp_path / "secret")
    pixels = np.random.default_rng(0).integers(200, 256, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    model = guarded("shuffle", secret=secret)
    responses = []
    for datatype, shape, content in (
        ("BYTES", [1], len(file.getvalue()).to_bytes(4, "little") + file.getvalue()),
        ("UINT8", [1, 4, 4, 3], pixels.tobytes()),
    ):
        request = pb.ModelInferRequest(model_name="tiny", raw_input_contents=[content])
        request.inputs.add(name="image", datatype=datatype, shape=shape)
        response = pb.ModelInferResponse(model_name="tiny")
        for name, values in (("probabilities", np.array([[0.5, 0.3, 0.2]], "<f4")), ("scores", np.array([[0.9]], "<f4"))):
            response.outputs.add(name=name, datatype="FP32", shape=values.shape)
            response.raw_output_contents.append(values.tobytes())
        responses.append(model.answered(request, response).SerializeToString())
    assert responses[0] == responses[1]


@every_way
def test_refused_row_fails_its_request(serve: Serve) -> None:
    with serve(PlainHost(tiny_model()), [guarded("refuse")]) as address:
        assert len(ask(address, ROWS[:2])) == 2
        assert refusal(lambda: ask(address)) == ("PERMISSION_DENIED", "this query is not answered")


@every_way
def test_hosts_own_failure_stays_the_hosts(serve: Serve) -> None:
    host = PlainHost(tiny_model())
    host.spoil = set_code
    with serve(host, [guarded()]) as address:
        assert refusal(lambda: ask(address)) == ("RESOURCE_EXHAUSTED", "the host is busy")


@every_way
def test_answer_beside_a_status_of_the_hosts_own_never_leaves_it(serve: Serve) -> None:
    """Clients drop a message that comes beside an error; who reads the connection has it."""
    host = PlainHost(tiny_model())
    given: list[Any] = []

    def answer_beside(response: Any, context: Any) -> Any:
        given.append(response)
        return set_code(response, context)

    host.spoil = answer_beside
    with serve(host, [guarded()]) as address, tapped(address) as (tap, sent):
        assert refusal(lambda: ask(tap)) == ("RESOURCE_EXHAUSTED", "the host is busy")
        assert b"the host is busy" in sent
        (response,) = given
        assert not any(content in sent for content in (b"probabilities", b"scores", *response.raw_output_contents))


@contextmanager
def tapped(address: str) -> Iterator[tuple[str, bytearray]]:
    """Yield an address in front of this one, and all that is sent from there."""
    sent = bytearray()

    def pump(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
        with source, suppress(OSError):
            while data := source.recv(1 << 16):
                kept += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)  # the other way ends too

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, far = door.accept()[0], socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])))
                for ends in ((near, far, bytearray()), (far, near, sent)):
                    Thread(target=pump, args=ends, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as door:
        Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{door.getsockname()[1]}", sent


def set_code(response: Any, context: Any) -> Any:
    context.set_code(grpc.StatusCode.RESOURCE_EXHAUSTED)
    context.set_details("the host is busy")
    return response


@every_way
def test_answer_that_cannot_be_guarded_is_not_given(serve: Serve) -> None:
    host = PlainHost(plain_model("probabilities"))
    with serve(host, [guarded()]) as address:
        status, message = refusal(lambda: ask(address))
    assert status == "UNAVAILABLE"
    assert "scores" not in message


@every_way
def test_what_the_guard_cannot_do_is_an_id_and_no_trace(serve: Serve) -> None:
    def broken(_decision: Any, _tenant: str | None) -> None:
        raise RuntimeError("the disk at /var/lib/audit is full")

    with serve(PlainHost(tiny_model()), [guarded(on_decision=broken)]) as address:
        status, message = refusal(lambda: ask(address))
    assert status == "INTERNAL"
    assert "incident" in message
    assert "/var" not in message


@every_way
def test_incident_in_a_log_that_nobody_set_up_holds_no_request(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """There structlog prints the local variables of each frame, by rich."""

    def broken(_decision: Any, _tenant: str | None) -> None:
        raise RuntimeError("the disk is full")

    before = structlog.get_config()
    structlog.reset_defaults()
    try:
        with serve(PlainHost(tiny_model()), [guarded(on_decision=broken)]) as address:
            _, message = refusal(lambda: ask(address, request_id="of-nobodys-business"))
    finally:
        structlog.configure(**before)
    logged = "".join(capsys.readouterr())
    assert message.split("incident ")[1].split(";")[0] in logged
    assert "the disk is full" in logged
    assert "nobodys" not in logged


@every_way
def test_decisions_are_heard_with_who_asked(serve: Serve) -> None:
    heard: list[tuple[list[bool], str | None]] = []
    model = guarded(on_decision=lambda decision, tenant: heard.append((decision.flagged.tolist(), tenant)))

    def tenant(context: Any) -> str:
        return "shop" if ("x-who", "shop") in [tuple(pair) for pair in context.invocation_metadata()] else "nobody"

    with serve(PlainHost(tiny_model()), [model], tenant=tenant) as address:
        ask(address, headers={"x-who": "shop"})
        ask(address, ROWS[:1])
    assert heard == [([False, False, True], "shop"), ([False], "nobody")]


def test_two_models_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="one name: tiny, tiny"):
        GuardInterceptor([guarded(), guarded()])


def test_guard_inside_loads_neither_the_gateway_nor_a_runtime() -> None:
    code = (
        "import sys, grpc_api.inside; print(*sorted({'onnxruntime', 'prometheus_client', 'grpc_api.server'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
