"""The admin service of a real gateway: who may use it, what it changes, and that each call is logged with who made it."""

import json
import os
import socket
import stat
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tiny_bundle import rows_of, write_tiny

from grpc_api.admin import Owner
from grpc_api.admin_client import AdminClient, read_key
from grpc_api.settings import GatewaySettings
from grpc_api.stubs import knockguard_admin_pb2 as pb
from guard.errors import (
    BackendError,
    ConfigError,
    InvalidInputError,
    KnockguardError,
    ModelNotFoundError,
    UnauthenticatedError,
    UnimplementedError,
)

KEY = "open-sesame-1"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "admin-keys"
    path.write_text(f"alice:{sha256(KEY.encode()).hexdigest()}\nbob:{sha256(b'other').hexdigest()}\n")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("admin")


@pytest.fixture(scope="module")
def served(folder: Path, keys: Path, start: Any) -> Iterator[Any]:
    """A gateway with a port and a socket; flagged rows are told their label alone."""
    bundle = write_tiny(folder / "tiny")
    options = ("--admin-port", "0", "--admin-keys", str(keys), "--admin-socket", str(folder / "s"), "--policy", "label-only")
    with start(bundle, *options, "--audit-log", str(folder / "audit")) as running:
        yield running


def port_of(served: Any) -> str:
    return f"127.0.0.1:{json.loads(served.ready_file.read_text())['admin_port']}"


@pytest.fixture
def admin(served: Any) -> Iterator[AdminClient]:
    with AdminClient(port_of(served), key=KEY) as client:
        yield client


def ask(served: Any, level: float, n: int = 1) -> np.ndarray:
    with triton.InferenceServerClient(served.address) as client:
        item = triton.InferInput("image", [n, 3, 4, 4], "FP32")
        item.set_data_from_numpy(rows_of(level, n))
        return client.infer("tiny", [item]).as_numpy("probabilities")


def test_policy_that_is_set_answers_the_next_query(served: Any, admin: AdminClient) -> None:
    assert ask(served, 0.9).max() == 1
    (bundle,) = admin.set_policy(pb.SetPolicyRequest(model="tiny", policy="observe")).bundles
    assert (bundle.policy, bundle.apply_to) == ("observe", "flagged")
    assert ask(served, 0.9).max() < 1
    request = pb.SetPolicyRequest(model="tiny", policy="top-k", options={"k": "1"}, apply_to="all")
    assert admin.set_policy(request).bundles[0].policy == "top-k"
    assert len(set(ask(served, 0.1)[0].tolist())) == 2  # the first, and the rest alike
    admin.set_policy(pb.SetPolicyRequest(model="tiny", policy="label-only"))
    assert ask(served, 0.9).max() == 1


@pytest.mark.parametrize(
    ("request_", "kind", "sentence"),
    [
        (pb.SetPolicyRequest(model="tiny", policy="obsrve"), InvalidInputError, "did you mean 'observe'"),
        (pb.SetPolicyRequest(model="tiny", policy="top-k", options={"kk": "1"}), InvalidInputError, "did you mean 'k'"),
        (pb.SetPolicyRequest(model="tiny", policy="shuffle"), InvalidInputError, "needs a secret"),
        (pb.SetPolicyRequest(model="tiny", policy="observe", apply_to="some"), InvalidInputError, "apply_to is 'some'"),
        (pb.SetPolicyRequest(model="tiny"), InvalidInputError, "no policy"),
        (pb.SetPolicyRequest(model="tinny", policy="observe"), ModelNotFoundError, "did you mean 'tiny'"),
    ],
)
def test_policy_that_does_not_fit_is_refused_with_the_way_out(
    served: Any, admin: AdminClient, request_: pb.SetPolicyRequest, kind: type[KnockguardError], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        admin.set_policy(request_)
    assert ask(served, 0.9).max() == 1  # as before


def test_evidence_adds_up_holds_no_answers_and_is_forgotten_on_request(served: Any, admin: AdminClient) -> None:
    admin.reset("anonymous")
    for level, n in ((0.9, 3), (0.1, 5)):
        ask(served, level, n)
    (item,) = admin.evidence("anonymous").items
    assert (item.rows, item.flagged, item.recent_rows, item.recent_flagged) == (8, 3, 8, 3)
    assert item.recent_quantiles[0] == pytest.approx(0.09, abs=1e-3)
    assert item.target_fpr == pytest.approx(0.05)
    assert item.bundle == admin.bundles().bundles[0].bundle
    assert not admin.evidence("nobody").items
    assert admin.reset("anonymous").forgotten == 1
    assert not admin.evidence().items
    with pytest.raises(InvalidInputError, match="no tenant"):
        admin.reset("")


def test_status_says_what_was_decided_and_logged(served: Any, admin: AdminClient) -> None:
    before = admin.status()
    ask(served, 0.9, 4)
    after = admin.status()
    assert after.ready
    assert (after.rows - before.rows, after.flagged - before.flagged) == (4, 4)
    assert after.process == served.process.pid
    assert after.audit_dropped_rows == 0
    assert list(after.dependencies) == []  # the model computes here
    (drift,) = after.drifts
    assert (drift.model, drift.version, drift.detector) == ("tiny", "3", "linear")
    assert drift.rows == after.rows
    assert drift.psi > 0.25  # levels of .09 and .81 alone


def test_reload_says_what_became_of_each_bundle(served: Any, admin: AdminClient, folder: Path) -> None:
    assert [o.outcome for o in admin.reload().outcomes] == ["unchanged"]
    model = folder / "tiny" / "model.onnx"
    good = model.read_bytes()
    model.write_bytes(good[:-1])
    try:
        (outcome,) = admin.reload("tiny").outcomes
        assert (outcome.outcome, outcome.version) == ("rejected", "3")
        assert "does not match its manifest" in outcome.reason
    finally:
        model.write_bytes(good)
    assert ask(served, 0.1).shape == (1, 3)
    with pytest.raises(ModelNotFoundError):
        admin.reload("none")


def test_limits_of_a_gateway_without_any_are_refused_with_the_way_to_them(admin: AdminClient) -> None:
    for ask_for in (admin.limits, lambda: admin.reset_limits("shop")):
        with pytest.raises(InvalidInputError, match="--tenant-limits"):
            ask_for()


@pytest.mark.parametrize("key", [None, "open-sesame-2", sha256(KEY.encode()).hexdigest()])
def test_port_answers_nobody_without_a_good_key(served: Any, key: str | None) -> None:
    with AdminClient(port_of(served), key=key) as client, pytest.raises(UnauthenticatedError):
        client.status()


def test_admin_service_is_not_on_the_clients_port_nor_theirs_on_its(served: Any) -> None:
    with AdminClient(served.address, key=KEY) as client, pytest.raises(UnimplementedError):
        client.status()
    with grpc.insecure_channel(port_of(served)) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"", metadata=(("x-api-key", KEY),), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_socket_is_for_its_owner_and_needs_no_key(served: Any, folder: Path) -> None:
    assert stat.S_IMODE((folder / "s").stat().st_mode) == 0o600
    with AdminClient(f"unix:{folder / 's'}") as client:
        assert client.status().ready


def test_each_call_is_logged_with_who_made_it_and_no_key_is(folder: Path, keys: Path, start: Any, tmp_path: Path) -> None:
    bundle = write_tiny(tmp_path / "tiny")
    path = tmp_path / "s"
    with start(bundle, "--admin-port", "0", "--admin-keys", str(keys), "--admin-socket", str(path)) as served:
        with AdminClient(port_of(served), key=KEY) as alice, AdminClient(f"unix:{path}") as owner:
            alice.set_policy(pb.SetPolicyRequest(model="tiny", policy="label-only"))
            owner.reset("shop")
            with pytest.raises(InvalidInputError):
                alice.set_policy(pb.SetPolicyRequest(model="tiny", policy="shuffle"))
        with AdminClient(port_of(served), key="wrong-key") as nobody, pytest.raises(UnauthenticatedError):
            nobody.reload()
        served.end()
        log = served.log.read_text()
    assert not path.exists()
    events = [json.loads(line) for line in log.splitlines()]
    assert [(e["who"], e["method"], e["asked"], e["outcome"]) for e in events if e["event"] == "admin_called"] == [
        ("alice", "SetPolicy", {"model": "tiny", "policy": "label-only"}, "done"),
        ("owner", "Reset", {"tenant": "shop"}, "done"),
        ("alice", "SetPolicy", {"model": "tiny", "policy": "shuffle"}, "refused"),
        (None, "Reload", None, "refused"),
    ]
    assert KEY not in log
    assert "wrong-key" not in log


def test_port_and_keys_go_together() -> None:
    for given in ({"admin.port": 0}, {"admin.keys_file": Path("keys")}):
        with pytest.raises(ConfigError, match="port and keys_file go together"):
            GatewaySettings.of({"bundles": [Path("bundle")], **given})


def test_socket_that_is_in_use_or_something_else_is_left_alone(bundle: Path, tmp_path: Path, start: Any) -> None:
    (tmp_path / "notes").write_text("mine")
    with socket.socket(socket.AF_UNIX) as used:
        used.bind(str(tmp_path / "used"))
        used.listen()
        for name, sentence in (("notes", "is no socket"), ("used", "somebody answers")):
            with pytest.raises(BackendError, match=sentence), start(bundle, "--admin-socket", str(tmp_path / name)):
                pass
    assert (tmp_path / "notes").read_text() == "mine"
    assert (tmp_path / "used").exists()


def test_socket_that_a_crash_left_is_replaced(bundle: Path, tmp_path: Path, start: Any) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    with start(bundle, "--admin-socket", str(tmp_path / "s")), AdminClient(f"unix:{tmp_path / 's'}") as client:
        assert client.status().ready


def test_key_is_read_from_a_file_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    assert read_key(tmp_path / "key") == KEY
    for content in (b"", b"two words", b"\xff\xfe"):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(ConfigError):
            read_key(tmp_path / "bad")
    with pytest.raises(ConfigError, match="cannot read"):
        read_key(tmp_path / "none")


def test_nobody_who_answers_is_told_as_such() -> None:
    with AdminClient("127.0.0.1:1", key=KEY) as client, pytest.raises(BackendError):
        client.status()


def test_owner_is_whoever_opened_the_socket() -> None:
    assert Owner().caller(()).tenant == "owner"
    assert os.name == "posix"
