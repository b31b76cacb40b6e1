"""Several processes on one port, as operators and clients meet them: real processes, started, asked, killed and drained."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from prometheus_client import CollectorRegistry
from tiny_bundle import rows_of, write_tiny

from grpc_api.admin_client import AdminClient
from grpc_api.listening import reserved_port
from grpc_api.settings import GatewaySettings
from grpc_api.stubs import knockguard_admin_pb2 as pb
from grpc_api.telemetry import CrewMetrics
from grpc_api.workers.crew import Crew
from grpc_api.workers.line import LOADED, Order
from grpc_api.workers.process import Worker
from guard.decision_log import read_decisions
from guard.errors import BackendError, DeadlineError, InvalidInputError, NotLoadedError, UnavailableError
from knockguard.gateway_process import RunningGateway

BRIGHT, DARK = rows_of(0.95), rows_of(0.1)
FRESH = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own, so that any worker may get it


def ask(address: str, images: np.ndarray, key: str = "old") -> np.ndarray:
    with triton.InferenceServerClient(address, channel_args=FRESH) as client:
        item = triton.InferInput("image", list(images.shape), "FP32")
        item.set_data_from_numpy(images)
        return client.infer("tiny", [item], headers={"x-api-key": key}).as_numpy("probabilities")


def ask_often(address: str, images: np.ndarray, n: int = 24) -> list[np.ndarray]:
    """Ask over as many connections: that all of 24 meet one of two workers happens once in eight million times."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda _: ask(address, images), range(n)))


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def eventually(claim: Callable[[], bool], *, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while True:
        with suppress(DeadlineError):  # one that is being killed may keep an operator waiting
            if claim():
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def events(log: Path, name: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crew")


@pytest.fixture(scope="module")
def crew(folder: Path, start: Any) -> Iterator[RunningGateway]:
    """Two workers for all tests that end none of them."""
    (folder / "keys").write_text(f"shop:{sha256(b'old').hexdigest()}\n")
    bundle = write_tiny(folder / "tiny")
    words = ("--workers", "2", "--admin-socket", str(folder / "s"), "--audit-log", str(folder / "audit"))
    with start(bundle, *words, "--api-keys", str(folder / "keys")) as served:
        yield served


@pytest.fixture
def scratch(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment whose temporary files can be seen; its path is short, as a socket's must be."""
    return {**os.environ, "TMPDIR": str(tmp_path_factory.mktemp("t"))}


@pytest.fixture
def admin(crew: RunningGateway, folder: Path) -> Iterator[AdminClient]:
    with AdminClient(f"unix:{folder / 's'}") as client:
        yield client


def test_every_worker_answers_and_their_counts_are_one(crew: RunningGateway, admin: AdminClient, folder: Path) -> None:
    before = crew.counter("knockguard_requests_total")
    ask_often(crew.address, BRIGHT)
    assert crew.counter("knockguard_requests_total") == before + 24
    assert crew.counter("knockguard_flagged_rows_total", tenant="shop") == before + 24
    assert crew.counter("knockguard_score_count") == before + 24
    assert crew.counter("knockguard_stage_seconds_bucket", stage="inference", le="+Inf") == before + 24
    assert crew.total("knockguard_workers") == 2
    for always_one in ("knockguard_build_info", "knockguard_bundle_info", "knockguard_model_ready"):
        assert crew.total(always_one) == 1
    assert crew.total("knockguard_threshold") == 0.5
    status = admin.status()
    assert (status.ready, status.workers, status.worker_restarts, status.process) == (True, 2, 0, crew.process.pid)
    assert (status.rows, status.tenants, status.bundles) == (before + 24, 1, 1)
    (item,) = admin.evidence().items
    assert (item.rows, item.flagged, item.recent_rows) == (before + 24,) * 3
    assert len(item.recent_quantiles) == 7
    workers = {event["worker"] for event in events(crew.log, "gateway_started")}
    assert workers == {0, 1}
    # The files are each worker's own, so no line is spoilt by another's.
    eventually(lambda: len(list(read_decisions(folder / "audit"))) == before + 24)
    assert len(list((folder / "audit").iterdir())) == 2


def test_policy_is_set_in_every_worker(crew: RunningGateway, admin: AdminClient) -> None:
    (shown,) = admin.set_policy(pb.SetPolicyRequest(model="tiny", policy="label-only", apply_to="all")).bundles
    assert (shown.policy, shown.apply_to) == ("label-only", "all")
    assert {answer.max() for answer in ask_often(crew.address, DARK)} == {1.0}
    admin.set_policy(pb.SetPolicyRequest(model="tiny", policy="observe"))
    assert max(answer.max() for answer in ask_often(crew.address, DARK)) < 1
    with pytest.raises(InvalidInputError, match="needs a secret"):
        admin.set_policy(pb.SetPolicyRequest(model="tiny", policy="shuffle"))
    assert [b.policy for b in admin.bundles().bundles] == ["observe"]


def test_evidence_is_forgotten_everywhere(crew: RunningGateway, admin: AdminClient) -> None:
    ask_often(crew.address, DARK)
    assert admin.reset("shop").forgotten == 2
    assert not admin.evidence().items


def test_second_gateway_does_not_share_the_port(crew: RunningGateway, folder: Path, start: Any) -> None:
    port = crew.address.rpartition(":")[2]
    refusal = pytest.raises(BackendError, match=f"code 2: error: cannot listen on 127.0.0.1:{port}")
    with refusal, start(folder / "tiny", "--workers", "2", "--port", port):
        pass


def test_reload_and_rotated_keys_reach_every_worker(crew: RunningGateway, admin: AdminClient, folder: Path) -> None:
    """The last on this crew: it leaves another bundle and another key."""
    write_tiny(folder / "fresh", version="4")
    (folder / "tiny").rename(folder / "old")
    (folder / "fresh").rename(folder / "tiny")
    assert [(o.outcome, o.version) for o in admin.reload().outcomes] == [("accepted", "4")]
    assert [b.version for b in admin.bundles().bundles] == ["4"]
    assert crew.counter("knockguard_bundle_reloads_total", outcome="accepted") == 2
    assert {labels["version"] for name, labels, _ in crew.samples() if name == "knockguard_bundle_info"} == {"4"}
    (folder / "tiny" / "model.onnx").write_bytes(b"not a model")
    crew.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(events(crew.log, "bundle_rejected")) == 2)
    (folder / "keys").write_text(f"shop:{sha256(b'new').hexdigest()}\n")
    time.sleep(1.1)  # keys are looked at once a second
    for _ in range(12):
        ask(crew.address, DARK, "new")
    assert crew.counter("knockguard_requests_total", tenant="shop", version="4") == 12


def test_bad_bundle_stops_the_start_as_with_one_process(tmp_path: Path, start: Any) -> None:
    bundle = write_tiny(tmp_path / "tiny")
    (bundle / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(BackendError, match=r"code 3: .*does not match its manifest"), start(bundle, "--workers", "2"):
        pass


def test_worker_that_is_killed_is_started_again_with_what_was_set(
    bundle: Path, tmp_path: Path, start: Any, scratch: dict[str, str]
) -> None:
    with start(bundle, "--workers", "2", "--admin-socket", str(tmp_path / "s"), environment=scratch) as served:
        with AdminClient(f"unix:{tmp_path / 's'}") as admin:
            admin.set_policy(pb.SetPolicyRequest(model="tiny", policy="label-only", apply_to="all"))
            ask_often(served.address, DARK)
            assert served.counter("knockguard_requests_total") == 24  # seen, so kept
            killed, other = children(served.process.pid)
            os.kill(killed, signal.SIGKILL)
            eventually(lambda: admin.status().worker_restarts == 1 and admin.status().workers == 1)
            assert served.counter("knockguard_requests_total") == 24
            assert ask(served.address, DARK).max() == 1
            eventually(lambda: admin.status().workers == 2)
            eventually(lambda: served.total("knockguard_workers") == 2)
            assert {answer.max() for answer in ask_often(served.address, DARK)} == {1.0}
            assert served.counter("knockguard_requests_total") == 49
            assert served.counter("knockguard_worker_restarts_total") == 1
            assert other in children(served.process.pid)
        assert served.end() == 0
        assert [e["code"] for e in events(served.log, "worker_ended")] == [-signal.SIGKILL]
    assert not list(Path(scratch["TMPDIR"]).iterdir())


def test_attempt_to_start_a_worker_that_fails_is_no_restart(tmp_path: Path, start: Any) -> None:
    bundle = write_tiny(tmp_path / "tiny")
    model = bundle / "model.onnx"
    with start(bundle, "--workers", "2") as served:
        whole, killed = model.read_bytes(), children(served.process.pid)[0]
        model.write_bytes(b"not a model")
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: served.counter("knockguard_worker_failed_starts_total") == 1)
        model.write_bytes(whole)
        eventually(lambda: served.total("knockguard_workers") == 2)
        assert served.counter("knockguard_worker_restarts_total") == 1


def test_error_that_every_worker_gives_is_told_as_it_is(bundle: Path, tmp_path: Path, start_with: Any) -> None:
    (tmp_path / "tenants").write_text("[default]\nquota_rows = 4\n")
    away = {"address": "127.0.0.1:1", "timeout_s": 0.2}
    limits = {"file": str(tmp_path / "tenants"), "store": "redis", "on_store_failure": "fail-open", "redis": away}
    with (
        start_with(bundle, workers=2, tenant_limits=limits, admin={"socket": str(tmp_path / "s")}),
        AdminClient(f"unix:{tmp_path / 's'}") as admin,
        pytest.raises(UnavailableError, match="rows cannot be counted now"),
    ):
        admin.limits()


def test_crew_whose_workers_load_says_so() -> None:
    crew = Crew(CrewMetrics(CollectorRegistry()))
    with pytest.raises(NotLoadedError, match="each is being started"):
        asyncio.run(crew.ask("Status", pb.StatusRequest(), pb.StatusResponse))


@pytest.mark.large
def test_policy_is_set_though_a_worker_hangs_which_is_ended(bundle: Path, tmp_path: Path, start: Any) -> None:
    with start(bundle, "--workers", "2", "--admin-socket", str(tmp_path / "s")) as served:
        hung, _ = children(served.process.pid)
        os.kill(hung, signal.SIGSTOP)
        with AdminClient(f"unix:{tmp_path / 's'}", timeout_s=10) as admin:
            (shown,) = admin.set_policy(pb.SetPolicyRequest(model="tiny", policy="label-only", apply_to="all")).bundles
            assert shown.policy == "label-only"
            eventually(lambda: admin.status().workers == 2 and admin.status().worker_restarts == 1)
            assert [b.policy for b in admin.bundles().bundles] == ["label-only"]
        assert {answer.max() for answer in ask_often(served.address, DARK)} == {1.0}
        assert [e["code"] for e in events(served.log, "worker_ended")] == [-signal.SIGKILL]
        assert hung not in children(served.process.pid)


def test_question_under_way_to_a_worker_that_ends_is_answered_by_the_others(bundle: Path, tmp_path: Path, start: Any) -> None:
    with start(bundle, "--workers", "2", "--admin-socket", str(tmp_path / "s")) as served:
        hung, _ = children(served.process.pid)
        os.kill(hung, signal.SIGSTOP)
        with AdminClient(f"unix:{tmp_path / 's'}", timeout_s=4) as admin, ThreadPoolExecutor(1) as pool:
            asked = pool.submit(admin.status)
            time.sleep(0.5)
            os.kill(hung, signal.SIGKILL)
            assert asked.result(10).ready  # without an answer the client would wait until its own time is over


@pytest.mark.large
def test_worker_that_is_silent_counts_as_none_and_is_ended(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    registry = CollectorRegistry()
    socket = tmp_path_factory.mktemp("w") / "s"

    async def silenced(port: int) -> int:
        crew = Crew(CrewMetrics(registry), silent_s=0.1)
        before = set(children(os.getpid()))
        worker = await Worker.start(Order(0, socket, GatewaySettings(bundles=(bundle,), port=port, threads=1)))
        (pid,) = set(children(os.getpid())) - before
        try:
            await worker.heard(LOADED)
            await crew.join(worker, n_reloads=0)
            await crew.look()
            assert registry.get_sample_value("knockguard_workers") == 1
            os.kill(pid, signal.SIGSTOP)
            await crew.look()
            assert registry.get_sample_value("knockguard_workers") == 0
            await crew.look()  # silent for longer than it may be
            return await asyncio.wait_for(worker.ended(), 10)
        finally:
            worker.kill()
            await worker.ended()

    with reserved_port("127.0.0.1", 0) as port:
        assert asyncio.run(silenced(port)) == -signal.SIGKILL


def test_sigterm_drains_every_worker(bundle: Path, start_with: Any) -> None:
    # No batch is ever full, so each request waits out the delay, unless the drain wakes it.
    with start_with(bundle, workers=2, limits={"max_delay_ms": 1000, "max_batch_rows": 64}) as served:
        pids = children(served.process.pid)
        with ThreadPoolExecutor(8) as pool:
            answers = [pool.submit(ask, served.address, DARK) for _ in range(8)]
            eventually(lambda: served.total("knockguard_queued_rows") + served.total("knockguard_requests_total") == 8)
            assert served.end() == 0
            assert [len(answer.result(10)) for answer in answers] == [1] * 8
        assert not any(map(alive, pids))
        assert not served.ready_file.exists()
        assert Counter(e.get("worker") for e in events(served.log, "gateway_stopped")) == {None: 1, 0: 1, 1: 1}


def test_nothing_outlives_a_supervisor_that_is_killed(bundle: Path, start: Any, scratch: dict[str, str]) -> None:
    with start(bundle, "--workers", "2", environment=scratch) as served:
        pids = children(served.process.pid)
        assert len(pids) == 2
        (sockets,) = Path(scratch["TMPDIR"]).iterdir()
        assert sockets.stat().st_mode & 0o777 == 0o700
        served.end(signal.SIGKILL)
        eventually(lambda: not any(map(alive, pids)))
    assert not list(Path(scratch["TMPDIR"]).iterdir())
