"""The gateway as a process: what it refuses to start with, who may ask, what it counts, and how it ends."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from onnx import TensorProto, helper, numpy_helper
from tiny_bundle import SHAPE, rows_of, tiny_manifest
from tritonclient.utils import InferenceServerException

from grpc_api.client import GuardClient
from guard.bundle import write_bundle
from guard.errors import QuotaExceededError
from guard.secret import write_secret


def ask(address: str, images: np.ndarray, **kwargs: Any) -> np.ndarray:
    with triton.InferenceServerClient(address) as client:
        item = triton.InferInput("image", list(images.shape), "FP32")
        item.set_data_from_numpy(images)
        return client.infer("tiny", [item], **kwargs).as_numpy("probabilities")


def refused(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "knockguard", "serve", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, " ".join(done.stderr.split())


def test_rows_flags_and_actions_are_counted(
    bundle: Path, start: Any, dark: Callable[..., np.ndarray], bright: Callable[..., np.ndarray]
) -> None:
    with start(bundle, "--policy", "label-only") as served:
        for images in (dark(3), bright(2), np.concatenate([dark(1), bright(4)])):
            ask(served.address, images)
        with pytest.raises(InferenceServerException):
            ask(served.address, np.zeros((1, 3, 5, 5), np.float32))
        assert served.total("knockguard_requests_total", model="tiny", version="3") == 3
        assert served.total("knockguard_rows_total", action="answer") == 4
        assert served.total("knockguard_rows_total", action="alter", policy="label-only") == 6
        assert served.total("knockguard_flagged_rows_total", detector="linear", policy="label-only", action="alter") == 6
        assert served.total("knockguard_score_count", detector="linear") == 10
        for stage in ("decode", "queue", "inference", "decide", "encode"):
            assert served.total("knockguard_stage_seconds_count", stage=stage) == 3
        assert served.total("knockguard_build_info", provider="CPUExecutionProvider") == 1
        assert served.total("grpc_server_handled_total", grpc_method="ModelInfer", grpc_code="OK") == 3
        assert served.total("grpc_server_handled_total", grpc_method="ModelInfer", grpc_code="INVALID_ARGUMENT") == 1


def test_new_bundle_observes_and_changes_nothing(bundle: Path, start: Any, bright: Callable[..., np.ndarray]) -> None:
    with start(bundle) as served:
        answer = ask(served.address, bright())
        assert 0 < answer.max() < 1
        assert served.total("knockguard_flagged_rows_total", policy="observe", action="answer") == 1


def test_shuffle_gives_a_replica_with_the_same_secret_the_same_answer(
    bundle: Path, start: Any, tmp_path: Path, bright: Callable[..., np.ndarray]
) -> None:
    write_secret(tmp_path / "secret")
    arguments = ("--policy", "shuffle", "--secret-file", str(tmp_path / "secret"))
    images = np.random.default_rng(0).uniform(0.7, 1.0, (8, *SHAPE)).astype(np.float32)
    with start(bundle, *arguments) as one, start(bundle, *arguments) as two, start(bundle) as plain:
        answers = ask(one.address, images)
        np.testing.assert_array_equal(answers, ask(two.address, images))
        true = ask(plain.address, images)
    np.testing.assert_array_equal(np.sort(answers), np.sort(true))
    assert (answers != true).any()


def test_refused_row_fails_its_whole_request(
    bundle: Path, start: Any, dark: Callable[..., np.ndarray], bright: Callable[..., np.ndarray]
) -> None:
    with start(bundle, "--policy", "refuse") as served:
        assert len(ask(served.address, dark(2))) == 2
        with pytest.raises(InferenceServerException, match="not answered") as caught:
            ask(served.address, np.concatenate([dark(1), bright(1)]))
        assert caught.value.status() == "StatusCode.PERMISSION_DENIED"
        assert served.total("knockguard_rows_total", action="refuse") == 2  # the row that was not flagged has no answer either


def test_api_keys_decide_who_may_ask_and_whose_rows_are_counted(
    bundle: Path, start: Any, tmp_path: Path, dark: Callable[..., np.ndarray]
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"# ours\nshop:{sha256(b'zebra-1').hexdigest()}\nshop:{sha256(b'zebra-2').hexdigest()}\n")
    with start(bundle, "--api-keys", str(keys)) as served:
        for headers in (None, {"x-api-key": "zebra-3"}):
            with pytest.raises(InferenceServerException, match="API key") as caught:
                ask(served.address, dark(), headers=headers)
            assert caught.value.status() == "StatusCode.UNAUTHENTICATED"
        ask(served.address, dark(), headers={"x-api-key": "zebra-1"})
        ask(served.address, dark(), headers={"authorization": "Bearer zebra-2"})
        assert served.total("knockguard_requests_total", tenant="shop") == 2
        served.end()
        log = served.log.read_text()
    assert "gateway_stopped" in log
    for secret in ("zebra", sha256(b"first").hexdigest()):
        assert secret not in log


def test_deadline_that_passed_is_told_as_such(bundle: Path, start: Any, dark: Callable[..., np.ndarray]) -> None:
    with start(bundle) as served, pytest.raises(InferenceServerException) as caught:
        ask(served.address, dark(), client_timeout=1e-4)
    assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"


def ask_in_thread(address: str, images: np.ndarray) -> "Future[np.ndarray]":
    pool = ThreadPoolExecutor(1)
    future = pool.submit(ask, address, images)
    pool.shutdown(wait=False)
    return future


def test_requests_answered_together_are_answered_as_alone(
    bundle: Path, start_with: Any, dark: Callable[..., np.ndarray], bright: Callable[..., np.ndarray]
) -> None:
    sent = [dark(1), bright(2), np.concatenate([dark(1), bright(1)]) * np.float32(0.9)]
    with start_with(bundle, policy="label-only", limits={"max_batch_rows": 8}) as served:
        alone = [ask(served.address, images) for images in sent]
    with start_with(bundle, policy="label-only", limits={"max_delay_ms": 1000, "max_batch_rows": 5}) as served:
        started = time.monotonic()
        together = [f.result(20) for f in [ask_in_thread(served.address, images) for images in sent]]
        assert time.monotonic() - started < 1  # full at five rows, so nobody waits for more
        assert served.total("knockguard_batch_rows_count") == 1
        assert served.total("knockguard_batch_rows_sum") == 5
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-6)


def test_call_under_way_is_answered_while_the_gateway_drains(
    bundle: Path, start_with: Any, dark: Callable[..., np.ndarray]
) -> None:
    with start_with(bundle, limits={"max_delay_ms": 700}) as served:
        answer = ask_in_thread(served.address, dark(2))
        deadline = time.monotonic() + 10
        while not served.total("knockguard_queued_rows") and time.monotonic() < deadline:
            time.sleep(0.01)
        assert served.ready_file.exists()
        served.process.terminate()
        assert answer.result(10).shape == (2, 3)
        assert served.process.wait(10) == 0
        assert not served.ready_file.exists()


def test_full_queue_is_told_with_a_time_to_come_back(bundle: Path, start_with: Any, dark: Callable[..., np.ndarray]) -> None:
    async def main(address: str) -> None:
        async with GuardClient(address) as client:
            first = asyncio.create_task(client.infer("tiny", "image", dark(4)))
            await asyncio.sleep(0.2)
            with pytest.raises(QuotaExceededError, match="4 rows are waiting and 4 may") as caught:
                await client.infer("tiny", "image", dark(1))
            assert caught.value.retry_after_s == 0.5
            assert len(await first) == 4

    with start_with(bundle, limits={"max_delay_ms": 800, "max_queue_rows": 4, "max_request_rows": 4}) as served:
        asyncio.run(main(served.address))


def test_silent_scraper_keeps_neither_metrics_nor_the_end_waiting(bundle: Path, start: Any) -> None:
    with start(bundle) as served:
        host, port = served.metrics_url.removeprefix("http://").removesuffix("/metrics").split(":")
        with socket.create_connection((host, int(port))):
            time.sleep(0.1)
            assert served.total("knockguard_build_info") == 1
            assert served.end(timeout_s=5) == 0


def test_nobody_makes_up_label_values(bundle: Path, start: Any, tmp_path: Path, dark: Callable[..., np.ndarray]) -> None:
    (tmp_path / "keys").write_text(f"shop:{'0' * 64}\n")
    with start(bundle, "--api-keys", str(tmp_path / "keys")) as served:
        with grpc.insecure_channel(served.address) as channel:
            for method in ("/made.Up/Method", "/inference.GRPCInferenceService/Guess"):
                with pytest.raises(grpc.RpcError) as caught:
                    channel.unary_unary(method)(b"", timeout=5)
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        with pytest.raises(InferenceServerException):
            ask(served.address, dark())
        calls: list[dict[str, str]] = []
        deadline = time.monotonic() + 10
        while not calls and time.monotonic() < deadline:  # a refusal reaches the client before it is counted
            calls = [labels for name, labels, _ in served.samples() if name == "grpc_server_handled_total"]
    assert [(c["grpc_type"], c["grpc_method"], c["grpc_code"]) for c in calls] == [("unary", "ModelInfer", "UNAUTHENTICATED")]


def test_call_that_ran_out_of_time_is_counted_as_such(bundle: Path, start_with: Any, dark: Callable[..., np.ndarray]) -> None:
    with start_with(bundle, limits={"max_delay_ms": 600}) as served:
        with pytest.raises(InferenceServerException):
            ask(served.address, dark(), client_timeout=0.2)
        give_up = time.monotonic() + 10
        while not served.total("grpc_server_handled_total", grpc_code="DEADLINE_EXCEEDED") and time.monotonic() < give_up:
            time.sleep(0.05)
        assert served.total("grpc_server_handled_total", grpc_code="DEADLINE_EXCEEDED") == 1
        time.sleep(0.6)
        assert served.total("knockguard_batch_rows_count") == 0  # its work was dropped


def test_streams_need_credentials_and_health_does_not(bundle: Path, start: Any, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"shop:{'0' * 64}\n")
    with start(bundle, "--api-keys", str(tmp_path / "keys")) as served, grpc.insecure_channel(served.address) as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            ProtoReflectionDescriptorDatabase(channel).get_services()
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains_and_ends_well(bundle: Path, start: Any, number: int, dark: Callable[..., np.ndarray]) -> None:
    with start(bundle) as served:
        ask(served.address, dark())
        assert served.end(number) == 0
        log = served.log.read_text()
        assert "drain_started" in log
        assert "gateway_stopped" in log
        assert "Traceback" not in log


def test_second_gateway_on_the_port_is_refused(bundle: Path, start: Any) -> None:
    with start(bundle) as served:
        port = served.address.rpartition(":")[2]
        code, message = refused(str(bundle), "--port", port, "--metrics-port", "0")
    assert code == 2
    assert f"cannot listen on 127.0.0.1:{port}; it is in use" in message


def test_taken_metrics_port_is_refused(bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, message = refused(str(bundle), "--port", "0", "--metrics-port", str(port))
    assert code == 2
    assert f"cannot serve metrics on 127.0.0.1:{port}; it is in use" in message


def test_what_cannot_be_served_is_refused_with_the_way_out(bundle: Path, tmp_path: Path) -> None:
    for arguments, code, sentence in (
        ([str(tmp_path / "none")], 3, "make one with `knockguard protect`"),
        ([str(bundle), "--policy", "shufle"], 2, "did you mean 'shuffle'"),
        ([str(bundle), "--policy", "shuffle"], 2, "knockguard secret"),
        ([str(bundle), "--policy", "top-k", "--option", "kk=3"], 2, "did you mean 'k'"),
        ([str(bundle), "--option", "k"], 2, "KEY=VALUE"),
        ([str(bundle), "--ready-file", str(tmp_path / "none" / "ready")], 2, "cannot write --ready-file"),
        ([str(bundle), "--apply-to", "flaged"], 2, "apply_to"),
        ([str(bundle), "--api-keys", str(tmp_path / "none")], 2, "cannot read the tenants"),
    ):
        found, message = refused(*arguments)
        assert found == code, arguments
        assert sentence in message
        assert "Traceback" not in message


def test_anybody_from_elsewhere_is_an_explicit_choice(bundle: Path, start: Any, tmp_path: Path) -> None:
    code, message = refused(str(bundle), "--host", "0.0.0.0", "--port", "0", "--metrics-port", "0")
    assert code == 2
    assert "anybody who reaches 0.0.0.0 could ask; give --api-keys FILE to tell clients apart, or --anonymous" in message
    (tmp_path / "keys").write_text(f"shop:{'0' * 64}\n")
    code, message = refused(str(bundle), "--anonymous", "--api-keys", str(tmp_path / "keys"))
    assert code == 2
    assert "contradict" in message
    with start(bundle, "--host", "0.0.0.0", "--anonymous") as served:
        assert len(ask(served.address, rows_of(0.1))) == 1


def test_rules_from_a_file_choose_the_policy_by_flag(bundle: Path, start: Any, tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text('[[rule]]\nwhen = { flagged = true, model = "tiny" }\npolicy = "label-only"\n')
    (tmp_path / "gateway.toml").write_text('rules_file = "rules.toml"\n')
    with start(bundle, "--config", str(tmp_path / "gateway.toml")) as served:
        np.testing.assert_array_equal(ask(served.address, rows_of(0.95)), [[1, 0, 0]])
        assert 0 < ask(served.address, rows_of(0.1)).max() < 1
    (tmp_path / "rules.toml").write_text('[[rule]]\npolicy = "shuffle"\n')
    code, message = refused(str(bundle), "--rules", str(tmp_path / "rules.toml"))
    assert code == 2
    assert "needs a secret" in message


def failing_model() -> bytes:
    """A graph that ONNX Runtime runs for dark images and fails on for bright ones: it looks their brightness up in a table."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
        helper.make_node("Softmax", ["means"], ["probabilities"], axis=1),
        helper.make_node("ReduceMean", ["means"], ["scores"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["scores", "hundred"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["looked"]),
    ]
    info = helper.make_tensor_value_info
    outputs = [info(name, TensorProto.FLOAT, ["n", n]) for name, n in (("probabilities", 3), ("scores", 1))]
    outputs.append(info("looked", TensorProto.FLOAT, ["n", 1]))
    constants = [numpy_helper.from_array(np.float32(100), "hundred"), numpy_helper.from_array(np.zeros(50, np.float32), "table")]
    graph = helper.make_graph(nodes, "failing", [info("image", TensorProto.FLOAT, ["n", *SHAPE])], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_model_that_fails_is_logged_once_with_the_reason_and_no_payload(start: Any, tmp_path: Path) -> None:
    model = failing_model()
    write_bundle(tmp_path / "failing", manifest=tiny_manifest(model=model), model=model)
    with start(tmp_path / "failing") as served:
        assert len(ask(served.address, rows_of(0.1))) == 1
        for _ in range(5):
            with pytest.raises(InferenceServerException, match="did not answer") as caught:
                ask(served.address, rows_of(0.9))
            assert caught.value.status() == "StatusCode.UNAVAILABLE"
        assert len(ask(served.address, rows_of(0.1))) == 1
        served.end()
        lines = [json.loads(line) for line in served.log.read_text().splitlines()]
    (failed,) = [line for line in lines if line["event"] == "dependency_failed"]
    assert failed["level"] == "error"
    assert failed["kind"] == "BackendError"
    assert "Gather" in failed["reason"]


def test_cuda_that_did_not_load_is_a_refusal_to_start(bundle: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession((bundle / "model.onnx").read_bytes(), providers=onnxruntime.get_available_providers())
    if "CUDAExecutionProvider" in session.get_providers():
        pytest.skip("CUDA works here")
    code, message = refused(str(bundle), "--provider", "cuda")
    assert code == 2
    assert "provider cuda" in message


@pytest.mark.server
def test_prometheus_scrapes_the_flags_that_were_caused(
    bundle: Path, start: Any, prometheus: Path, tmp_path: Path, bright: Callable[..., np.ndarray]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with start(bundle, "--policy", "label-only") as served:
        target = served.metrics_url.removeprefix("http://").removesuffix("/metrics")
        config = tmp_path / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 200ms}\n"
            f"scrape_configs: [{{job_name: gateway, static_configs: [{{targets: ['{target}']}}]}}]\n"
        )
        command = [prometheus, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}"]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            ask(served.address, bright(7))
            query = 'sum(knockguard_flagged_rows_total{model="tiny",detector="linear",policy="label-only",action="alter"})'
            url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(query)}"
            deadline, value = time.monotonic() + 30, None
            while value != 7 and time.monotonic() < deadline:
                time.sleep(0.2)
                try:
                    found = json.load(urllib.request.urlopen(url, timeout=5))["data"]["result"]
                except OSError:
                    continue
                value = float(found[0]["value"][1]) if found else None
            assert value == 7, (tmp_path / "log").read_text()[-2000:]
        finally:
            process.terminate()
            process.wait(20)
