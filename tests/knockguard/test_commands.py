"""The other commands: attack, report, audit, secret, list, and a gateway that does not come up."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guard.errors import BackendError
from knockguard.gateway_process import gateway

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def bundle(run: Run, miniature: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands") / "bundle"
    done = run(
        "protect", miniature.onnx, "--in", miniature.inside, "--out-pool", miniature.outside, "-o", folder, "--name", "discs"
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_attack_measures_a_copy_and_asks_nothing_twice(run: Run, bundle: Path, miniature: Any, tmp_path: Path) -> None:
    from conftest import discs, save

    test = save(discs(60, seed=20)[0], tmp_path / "test", ["0", "1", "2"])
    out = tmp_path / "attack"
    with gateway(bundle, log=tmp_path / "log") as running:
        given = [running.address, "--pool", miniature.outside, "--test", test, "--model", "discs", "--queries", "64"]
        given += ["--epochs", "2", "--architecture", "cnn-small", "-o", out]
        done = run("attack", *given, "--json")
        assert done.returncode == 0, done.stderr
        (policy,) = json.loads(done.stdout)["policies"]
        assert policy["queries"] == 64
        asked = running.counter("knockguard_rows_total")
        assert asked == 64 + 60
        assert run("attack", *given).returncode == 2
        assert run("attack", *given, "--force").returncode == 0
        assert running.counter("knockguard_rows_total") == asked + 60, "the transfer set was asked again"
    assert run("attack", *given, "--force").returncode == 4  # nobody is there any more
    done = run("report", out)
    assert done.returncode == 0, done.stderr
    assert (out / "report.html").exists()


def test_attack_on_another_machine_needs_consent(run: Run, miniature: Any, tmp_path: Path) -> None:
    given = ["192.0.2.1:8001", "--pool", miniature.outside, "--test", miniature.outside, "--model", "m", "-o", tmp_path / "a"]
    done = run("attack", *given)
    assert done.returncode == 3
    assert "--i-am-authorised-by" in done.stderr
    assert not (tmp_path / "a").exists()


def test_audit_ends_in_a_verdict(run: Run, bundle: Path, miniature: Any, tmp_path: Path) -> None:
    from conftest import discs, save

    inside = save(discs(150, seed=30)[0], tmp_path / "in")
    done = run("audit", bundle, "--in", inside, "--pool", miniature.outside, "-o", tmp_path / "audit", "--limit", "150")
    assert done.returncode == 0, done.stderr
    audit = json.loads((tmp_path / "audit" / "audit.json").read_text())
    (pool,) = audit["pools"]
    assert pool["matched"]["linear"]["tpr"]["count"] > 0.8 * pool["matched"]["linear"]["tpr"]["n"]
    assert audit["benign"]["as sent"]["n"] == 150
    page = (tmp_path / "audit" / "audit.md").read_text()
    assert any(word in page for word in ("YES:", "PARTLY:", "NO:"))
    assert "Customers are" in page


def test_secret_is_private_and_not_overwritten(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert run("secret", path).returncode == 0
    assert path.stat().st_mode & 0o777 == 0o600
    content = path.read_bytes()
    assert run("secret", path).returncode == 2
    assert path.read_bytes() == content


def test_list_names_every_plugin(run: Run) -> None:
    from evaluation.adversaries.registry import ADVERSARIES
    from evaluation.attacks.registry import ATTACKS
    from guard.detectors.registry import DETECTORS
    from guard.policies.registry import POLICIES

    shown = run("list").stdout
    for registry in (ADVERSARIES, ATTACKS, DETECTORS, POLICIES):
        assert all(name in shown for name in registry)


def test_gateway_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"ended with code 3.*no bundle"), gateway(tmp_path / "none", log=tmp_path / "log"):
        pass


def test_gateway_ends_with_its_block_whatever_ends_it(bundle: Path, tmp_path: Path) -> None:
    import socket

    with pytest.raises(ZeroDivisionError), gateway(bundle, log=tmp_path / "log") as running:  # noqa: PT012
        port = int(running.address.rpartition(":")[2])
        raise ZeroDivisionError
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
