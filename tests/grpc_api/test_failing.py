"""Fails as told: upstreams are killed, stopped or talk nonsense, and detectors fail, for real, as a client meets it.

What is killed is a process of its own: another `knockguard serve`, which answers as any V2 server does.
"""

import signal
import socket
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2
from plain_host import PlainHost, plain_host
from spoilt_scores import spoilt
from test_proxy import wait_until
from test_proxy_gateway import health
from tiny_bundle import rows_of, tiny_model
from tritonclient.grpc import service_pb2, service_pb2_grpc

from grpc_api.admin_client import AdminClient
from grpc_api.statuses import error_of
from guard.decision_log import read_decisions
from knockguard.administering import Desk

FLAGGED, HONEST = rows_of(0.95), rows_of(0.1)
PATIENCE = {"failures": 3, "probe_s": 0.1, "max_probe_s": 0.2}
BEHIND = ("--policy", "observe")  # a gateway that answers another one: scores are computed beside the first
BESIDE = {"scores": "bundle", "timeout_s": 1.0}
AWAY = ("UNAVAILABLE", "the model is not there now; try again shortly")
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def heard(address: str, rows: np.ndarray = HONEST) -> tuple[str, str, float | None, np.ndarray | None]:
    """Return status, message, seconds of RetryInfo and answer of one query, as a client without our code meets them."""
    request = service_pb2.ModelInferRequest(model_name="tiny")
    request.inputs.add(name="image", datatype="FP32", shape=rows.shape)
    request.raw_input_contents.append(rows.tobytes())
    with grpc.insecure_channel(address) as channel:
        try:
            response = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=20)
        except grpc.RpcError as error:
            told = error_of(error.code(), error.details(), error.trailing_metadata())
            return error.code().name, error.details(), getattr(told, "retry_after_s", None), None
    answer = np.frombuffer(response.raw_output_contents[0], np.float32).reshape(len(rows), 3)
    return "OK", "", None, answer


def is_guarded(address: str) -> bool:
    return np.array_equal(heard(address, FLAGGED)[3], [[1, 0, 0]])  # label-only


def state_is(served: Any, dependency: str, state: str) -> bool:
    return bool(served.total("knockguard_breaker_state", dependency=dependency, state=state) == 1)


def test_upstream_that_is_killed_is_left_alone_and_found_again(bundle: Path, start: Any, start_with: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    told = {"upstream": {"address": f"127.0.0.1:{port}", **BESIDE}, "failing": PATIENCE}
    with start(bundle, *BEHIND, "--port", port) as behind, start_with(bundle, **told) as served:
        assert heard(served.address)[0] == "OK"
        assert state_is(served, "upstream", "closed")
        behind.end(signal.SIGKILL)
        assert heard(served.address)[:2] == AWAY
        wait_until(lambda: health(served.address) == NOT_SERVING)
        for rows in (HONEST, FLAGGED):  # the same to everybody, and with a time to come back
            code, message, retry_after_s, _ = heard(served.address, rows)
            assert (code, message) == AWAY
            assert retry_after_s is not None
            assert 0 < retry_after_s <= PATIENCE["max_probe_s"]
        assert served.total("knockguard_model_ready") == 0
        assert served.total("knockguard_breaker_openings_total", dependency="upstream") == 1
        with start(bundle, *BEHIND, "--port", port):
            wait_until(lambda: heard(served.address)[0] == "OK")
            wait_until(lambda: health(served.address) == SERVING)
            assert state_is(served, "upstream", "closed")
            assert served.total("knockguard_breaker_openings_total", dependency="upstream") == 1


def test_upstream_that_hangs_costs_a_few_callers_their_time_and_nobody_after_them(
    bundle: Path, start: Any, start_with: Any
) -> None:
    with start(bundle, *BEHIND) as behind:
        told = {"upstream": {"address": behind.address, **BESIDE}, "failing": PATIENCE}
        with start_with(bundle, **told) as served:
            assert heard(served.address)[0] == "OK"
            behind.process.send_signal(signal.SIGSTOP)
            try:
                assert heard(served.address)[0] == "UNAVAILABLE"
                wait_until(lambda: not state_is(served, "upstream", "closed"))
                assert heard(served.address)[:2] == AWAY  # told at once: whoever waited in vain hears of the seconds
                faults = served.total("knockguard_dependency_faults_total", dependency="upstream", fault="timeout")
                assert faults >= 1
            finally:
                behind.process.send_signal(signal.SIGCONT)
            wait_until(lambda: heard(served.address)[0] == "OK")


def test_detector_that_fails_closes_by_default_and_says_the_same_to_everybody(bundle: Path, start_with: Any) -> None:
    host = PlainHost(tiny_model())
    with plain_host(host) as address:
        told = {"policy": "label-only", "upstream": {"address": address}, "failing": PATIENCE}
        with start_with(bundle, **told) as served:
            assert is_guarded(served.address)
            with spoilt(host, "missing"):
                assert heard(served.address)[0] == "UNAVAILABLE"
                wait_until(lambda: not state_is(served, "detector", "closed"))
                assert {heard(served.address, rows)[:2] for rows in (HONEST, FLAGGED)} == {AWAY}
                wait_until(lambda: health(served.address) == NOT_SERVING)
                assert state_is(served, "upstream", "closed")
            wait_until(lambda: heard(served.address)[0] == "OK")
            assert is_guarded(served.address)
            assert served.total("knockguard_unguarded_rows_total") == 0


def test_detector_that_fails_open_as_told_is_counted_logged_and_shown(
    bundle: Path, start_with: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = PlainHost(tiny_model())
    told = {
        "policy": "label-only",
        "failing": {**PATIENCE, "detector": "fail-open"},
        "admin": {"socket": str(tmp_path / "s")},
        "audit": {"folder": str(tmp_path / "audit")},
    }
    with plain_host(host) as address, start_with(bundle, upstream={"address": address}, **told) as served:
        assert is_guarded(served.address)
        with spoilt(host, "no_numbers"):
            assert is_guarded(served.address)  # such a row may be its sender's doing
            wait_until(lambda: not state_is(served, "detector", "closed"))
            answer = heard(served.address, FLAGGED)[3]
            assert answer is not None
            assert 0 < answer.max() < 1  # the victim's own
            assert health(served.address) == SERVING
            assert served.total("knockguard_unguarded_rows_total") >= 1
            with AdminClient(f"unix:{tmp_path / 's'}") as admin:
                found = admin.status()
            (detector,) = [d for d in found.dependencies if d.name == "detector"]
            assert (detector.mode, detector.openings, detector.state != "closed") == ("fail-open", 1, True)
            assert found.unguarded_rows >= 1
            Desk(f"unix:{tmp_path / 's'}", None, as_json=False).status()
            said = capsys.readouterr().out
            assert all(word in said for word in ("fail-open", "detector", "upstream", "unguarded", "PSI"))
        wait_until(lambda: is_guarded(served.address))
        served.end()
        assert '"event": "answered_unguarded"' in served.log.read_text()
    rows = list(read_decisions(tmp_path / "audit"))
    assert {(row.score is None, row.flagged) for row in rows} == {(True, False), (True, True), (False, True)}
