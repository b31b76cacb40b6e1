"""`knockguard admin` against a real gateway: what it prints, what it changes, and its exit codes."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer
from miniature import InProcess
from tiny_bundle import rows_of, write_tiny

from grpc_api.client import GuardClient
from knockguard.cli import app

ADMIN = typer.main.get_command(app).commands["admin"]  # type: ignore[attr-defined]  # a group


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("admin")


@pytest.fixture(scope="module")
def at(folder: Path) -> Iterator[tuple[str, str]]:
    """Where a gateway's socket is, as the command takes it."""
    bundle, ready = write_tiny(folder / "tiny"), folder / "ready.json"
    ports = ["--port", "0", "--metrics-port", "0", "--ready-file", str(ready), "--admin-socket", str(folder / "s")]
    ports += ["--audit-log", str(folder / "audit"), "--tenant-limits", str(folder / "limits.toml")]
    (folder / "limits.toml").write_text("[default]\nquota_rows = 900\nrows_per_s = 0.5\nburst_rows = 700\n")
    process = subprocess.Popen([sys.executable, "-m", "knockguard", "serve", str(bundle), *ports], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not ready.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield "--at", f"unix:{folder / 's'}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("name", sorted(ADMIN.commands))
def test_command_explains_itself_and_each_of_its_options(name: str, knockguard: InProcess) -> None:
    done = knockguard("admin", name, "-h")
    assert (done.code, done.err) == (0, "")
    assert [p.name for p in ADMIN.commands[name].params if not getattr(p, "help", None)] == []


def test_policy_is_set_and_shown(at: tuple[str, str], knockguard: InProcess) -> None:
    done = knockguard("admin", "set-policy", "tiny", "top-k", "--option", "k=2", "--apply-to", "all", "--json", *at)
    assert done.code == 0
    (bundle,) = json.loads(done.out)["bundles"]
    assert (bundle["policy"], bundle["apply_to"]) == ("top-k", "all")
    assert "until the gateway ends" in done.err
    shown = knockguard("admin", "bundles", *at)
    assert shown.code == 0
    assert "tiny" in shown.out


def test_status_evidence_and_reset_are_printed(at: tuple[str, str], knockguard: InProcess) -> None:
    status = knockguard("admin", "status", *at)
    assert status.code == 0
    assert "rows decided" in status.out
    assert json.loads(knockguard("admin", "status", "--json", *at).out)["ready"] is True
    assert json.loads(knockguard("admin", "evidence", "--json", *at).out) == {"items": []}
    assert knockguard("admin", "evidence", *at).code == 0
    reset = knockguard("admin", "reset", "shop", *at)
    assert (reset.code, reset.out) == (0, "")
    assert "nothing was known of shop" in reset.err


def test_limits_are_printed_and_reset(at: tuple[str, str], knockguard: InProcess) -> None:
    shown = knockguard("admin", "limits", *at)
    assert shown.code == 0
    assert "700 of 700" in shown.out
    assert "of 900" in shown.out
    assert "counted in memory" in shown.err
    (item,) = json.loads(knockguard("admin", "limits", "anonymous", "--json", *at).out)["items"]
    assert (item["tenant"], item["rows_per_s"], item["quota_rows"]) == ("anonymous", 0.5, "900")
    reset = knockguard("admin", "reset-limits", "nobody", *at)
    assert (reset.code, reset.out) == (0, "")
    assert "nothing was counted of nobody" in reset.err


def test_rejected_bundle_is_exit_code_5(at: tuple[str, str], folder: Path, knockguard: InProcess) -> None:
    assert knockguard("admin", "reload", *at).code == 0
    manifest = folder / "tiny" / "bundle.json"
    good = manifest.read_text()
    manifest.write_text("{}")
    try:
        done = knockguard("admin", "reload", "tiny", "--json", *at)
    finally:
        manifest.write_text(good)
    assert done.code == 5
    assert json.loads(done.out)["outcomes"][0]["outcome"] == "rejected"


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["set-policy", "tiny", "obsrve"], 3, "did you mean 'observe'"),
        (["set-policy", "none", "observe"], 3, "there is no model 'none'"),
        (["set-policy", "tiny", "top-k", "--option", "k"], 2, "KEY=VALUE"),
        (["status", "--key-file", "no-such-file"], 2, "cannot read the admin key"),
        (["status", "--at", "127.0.0.1:1"], 4, ""),
    ],
)
def test_mistake_has_its_sentence_and_its_code(
    at: tuple[str, str], knockguard: InProcess, words: list[str], code: int, sentence: str
) -> None:
    done = knockguard("admin", *words, *(() if "--at" in words else at))
    assert (done.code, done.out) == (code, "")
    assert sentence in done.err
    assert "Traceback" not in done.err


def test_log_of_live_queries_calibrates_the_bundle_that_takes_over(
    at: tuple[str, str], folder: Path, knockguard: InProcess
) -> None:
    address = f"127.0.0.1:{json.loads((folder / 'ready.json').read_text())['port']}"
    images = np.random.default_rng(0).uniform(0.1, 0.4, (600, 1, 1, 1)).astype(np.float32) * rows_of(1.0)

    async def ask() -> None:
        async with GuardClient(address) as client:
            async for _ in client.ask("tiny", "image", np.split(images, 6)):
                pass

    asyncio.run(ask())
    deadline = time.monotonic() + 10
    while json.loads(knockguard("admin", "status", "--json", *at).out)["audit_written_rows"] != "600":
        assert time.monotonic() < deadline
    scores = ("--scores", folder / "audit")
    assert knockguard("recalibrate", folder / "tiny", *scores, "--out", folder / "tiny", "--version", "4", "--force").code == 0
    (outcome,) = json.loads(knockguard("admin", "reload", "--json", *at).out)["outcomes"]
    assert (outcome["version"], outcome["outcome"]) == ("4", "accepted")
    (bundle,) = json.loads(knockguard("admin", "bundles", "--json", *at).out)["bundles"]
    assert 0.3 < bundle["threshold"] < 0.4 * 0.9 + 0.01  # the largest of their means, less what may lie above
