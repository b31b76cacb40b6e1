"""`knockguard serve bundle --upstream`: a gateway in front of somebody else's server, as a client and an orchestrator meet it."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc
from plain_host import PlainHost, plain_host
from test_gateway import ask, refused
from test_proxy import plain_model, wait_until
from tiny_bundle import rows_of, tiny_model
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as pb_grpc
from tritonclient.utils import InferenceServerException

from grpc_api.lanes import N_LANES

ROWS = np.concatenate([rows_of(0.1, 2), rows_of(0.95)])


@pytest.fixture
def host() -> PlainHost:
    return PlainHost(tiny_model())


@pytest.fixture
def upstream(host: PlainHost) -> Iterator[str]:
    with plain_host(host) as address:
        yield address


def status_of(caught: pytest.ExceptionInfo[InferenceServerException]) -> str:
    return str(caught.value.status()).removeprefix("StatusCode.")


def health(address: str) -> Any:
    with grpc.insecure_channel(address) as channel:
        return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5).status


def test_scores_are_stripped_and_flagged_rows_are_the_policys(bundle: Path, start: Any, upstream: str, host: PlainHost) -> None:
    with start(bundle, "--upstream", upstream, "--policy", "label-only") as served:
        answers = ask(served.address, ROWS)
        np.testing.assert_array_equal(answers[2], [1, 0, 0])
        assert 0 < answers[:2].max() < 1
        with triton.InferenceServerClient(served.address) as client:
            assert [o.name for o in client.get_model_metadata("tiny").outputs] == ["probabilities"]
            item = triton.InferInput("image", [1, 3, 4, 4], "FP32")
            item.set_data_from_numpy(rows_of(0.1))
            response = client.infer("tiny", [item], request_id="q").get_response()
            assert [o.name for o in response.outputs] == ["probabilities"]
            assert (response.id, response.model_version, dict(response.parameters)) == ("q", "3", {})  # none of the host's own
            with pytest.raises(InferenceServerException, match="no output 'scores'"):
                client.infer("tiny", [item], outputs=[triton.InferRequestedOutput("scores")])
        assert served.total("knockguard_flagged_rows_total", policy="label-only", action="alter") == 1
        assert served.total("knockguard_build_info", provider="upstream") == 1
        assert served.total("knockguard_model_ready", model="tiny") == 1


def test_plain_model_upstream_is_guarded_by_the_bundles_own_graph(bundle: Path, start: Any) -> None:
    flags = ("--upstream-output", "logits", "--upstream-logits", "--scores-from", "bundle", "--policy", "label-only")
    with plain_host(PlainHost(plain_model("logits"))) as address, start(bundle, "--upstream", address, *flags) as served:
        answers = ask(served.address, ROWS)
        np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-6)
        np.testing.assert_array_equal(answers[2], [1, 0, 0])
        assert 0 < answers[:2].max() < 1


def test_many_calls_wait_for_the_upstream_at_once(bundle: Path, start: Any, upstream: str, host: PlainHost) -> None:
    def slow(response: Any, _context: Any) -> Any:
        time.sleep(0.5)
        return response

    with start(bundle, "--upstream", upstream) as served:
        host.spoil = slow
        with ThreadPoolExecutor(8) as threads:
            started = time.monotonic()
            answers = list(threads.map(lambda _: ask(served.address, ROWS), range(8)))
        assert time.monotonic() - started < 2.5  # eight in a row take four seconds
        assert all(len(answer) == 3 for answer in answers)


def test_callers_who_cancel_leave_their_place_to_the_next(bundle: Path, start: Any, upstream: str, host: PlainHost) -> None:
    def held(response: Any, context: Any) -> Any:
        called_off = Event()
        if response.outputs[0].shape[0] == 3 and context.add_callback(called_off.set):
            called_off.wait(8)
        return response

    request = pb.ModelInferRequest(model_name="tiny", raw_input_contents=[ROWS.tobytes()])
    request.inputs.add(name="image", datatype="FP32", shape=ROWS.shape)
    with start(bundle, "--upstream", upstream) as served, grpc.insecure_channel(served.address) as channel:
        host.spoil, host.asked[:] = held, []
        ask_later = pb_grpc.GRPCInferenceServiceStub(channel).ModelInfer.future
        calls = [ask_later(request) for _ in range(N_LANES)]
        wait_until(lambda: served.total("knockguard_queued_rows") == 3 * N_LANES)
        for call in calls:
            call.cancel()
        started = time.monotonic()
        assert len(ask(served.address, ROWS[:1])) == 1
        assert time.monotonic() - started < 5
        wait_until(lambda: served.total("knockguard_queued_rows") == 0)
        assert served.total("knockguard_model_ready", model="tiny") == 1


def test_callers_deadline_reaches_the_upstream_and_is_told_as_such(
    bundle: Path, start: Any, upstream: str, host: PlainHost
) -> None:
    def slow(response: Any, _context: Any) -> Any:
        time.sleep(1.0)
        return response

    with start(bundle, "--upstream", upstream) as served:
        host.spoil, host.remaining_s[:] = slow, []
        with pytest.raises(InferenceServerException) as caught:
            ask(served.address, ROWS, client_timeout=0.4)
        assert status_of(caught) == "DEADLINE_EXCEEDED"
        (remaining,) = host.remaining_s
        assert remaining is not None
        assert remaining < 0.5


def test_one_callers_bad_luck_is_not_the_next_ones(bundle: Path, start: Any, upstream: str, host: PlainHost) -> None:
    def spoil(response: Any, context: grpc.ServicerContext) -> Any:
        if len(host.asked) % 2:
            context.abort(grpc.StatusCode.INTERNAL, "CUDA error at /srv/models/tiny: 10.1.2.3")
        return response

    with start(bundle, "--upstream", upstream) as served:
        host.spoil, host.asked[:] = spoil, []
        with pytest.raises(InferenceServerException) as caught:
            ask(served.address, ROWS)
        assert (status_of(caught), caught.value.message()) == ("UNAVAILABLE", "the model failed to answer")
        assert len(ask(served.address, ROWS)) == 3


def test_upstream_that_dies_makes_the_gateway_not_ready_and_back_again(bundle: Path, start: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with start(bundle, "--upstream", f"127.0.0.1:{port}") as served:  # it is not there yet

        def is_ready() -> bool:
            with triton.InferenceServerClient(served.address) as client:
                return client.is_server_ready() and client.is_model_ready("tiny")

        for serving in (False, True, False):
            if serving:
                with plain_host(PlainHost(tiny_model()), port=port):
                    wait_until(is_ready)
                    wait_until(lambda: health(served.address) == health_pb2.HealthCheckResponse.SERVING)
                    assert len(ask(served.address, ROWS)) == 3
                continue
            wait_until(lambda: not is_ready())
            wait_until(lambda: health(served.address) == health_pb2.HealthCheckResponse.NOT_SERVING)
            started = time.monotonic()
            with pytest.raises(InferenceServerException) as caught:
                ask(served.address, ROWS)
            assert status_of(caught) == "UNAVAILABLE"
            assert time.monotonic() - started < 1.0
            assert served.total("knockguard_model_ready", model="tiny") == 0


@pytest.mark.parametrize(
    ("flags", "code", "sentence"),
    [
        (
            lambda address: ("--upstream", address, "--upstream-output", "logits"),
            3,
            "must take FP32 'image' of shape [-1, 3, 4, 4]",
        ),
        (lambda _: ("--upstream-model", "tiny"), 2, "give its address, --upstream HOST:PORT"),
        (lambda _: ("--upstream", "dns:///models"), 2, "upstream.address"),
        (lambda address: ("--upstream", address, "--scores-from", "nowhere"), 2, "'upstream' or 'bundle'"),
        (lambda address: ("--upstream", address, "--upstream-ca", "none.pem"), 2, "cannot read the upstream's CA file"),
    ],
)
def test_what_cannot_work_is_refused_at_the_start(
    bundle: Path, upstream: str, flags: Callable[[str], tuple[str, ...]], code: int, sentence: str
) -> None:
    found, said = refused(str(bundle), "--port", "0", "--metrics-port", "0", *flags(upstream))
    assert (found, sentence in said) == (code, True), said
