"""The command: help for everything, results on stdout, errors on stderr, one exit code each."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from miniature import InProcess, call, listing

from evaluation.adversaries.registry import ADVERSARIES
from evaluation.attacks.registry import ATTACKS
from evaluation.results import PolicyResult, Results, VictimResult, write_results
from guard.detectors.registry import DETECTORS
from guard.policies.registry import POLICIES
from guard.secret import Secret
from knockguard.cli import app

COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]  # a group has them


def test_help_names_every_command() -> None:
    done = call("--help")
    assert (done.code, done.err) == (0, "")
    assert {"demo", "protect", "serve", "attack", "audit", "report", "secret", "list"} <= set(COMMANDS)
    assert [name for name in COMMANDS if name not in done.out] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_command_explains_itself_and_each_of_its_options(name: str, knockguard: InProcess) -> None:
    done = knockguard(name, "-h")
    assert (done.code, done.err) == (0, "")
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    assert " ".join((command.help or "?").split())[:40] in " ".join(done.out.split())
    assert [p.name for p in command.params if not getattr(p, "help", None)] == []


@pytest.mark.parametrize(
    "words", [["--nothing"], ["demoo"], ["list", "--nothing"], ["list", "more"], ["protect"], ["demo", "--seed", "-1"]]
)
def test_words_that_mean_nothing_are_a_usage_error(words: list[str], knockguard: InProcess) -> None:
    done = knockguard(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err
    assert "Traceback" not in done.err


def test_error_is_one_line_on_stderr() -> None:
    done = call("report", "no\n[/such]")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("error: cannot read no\n[/such] (No such file or directory); ")
    assert "Traceback" not in done.err


def test_secret_is_for_its_owner_alone_and_is_never_replaced_nor_shown(tmp_path: Path, knockguard: InProcess) -> None:
    path = tmp_path / "secret"
    done = knockguard("secret", path)
    assert done.code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = Secret.read(path)
    assert secret.id in done.err
    assert secret.key.hex() not in done.err + done.out
    refused = knockguard("secret", path)
    assert (refused.code, "exists" in refused.err) == (2, True)
    assert Secret.read(path) == secret
    assert knockguard("secret", tmp_path / "other").code == 0
    assert Secret.read(tmp_path / "other").key != secret.key


READ_ONLY = Path("/proc/sys")  # closed even to the superuser


OUT_OPTIONS = {
    "demo": ["--out"],
    "protect": ["model.onnx", "--in", "in", "--out-pool", "out", "--out"],
    "audit": ["bundle", "--in", "in", "--pool", "out", "--out"],
    "export": ["bundle", "--for", "triton", "--out"],
    "recalibrate": ["bundle", "--scores", "log.csv", "--out"],
    "study": ["study.toml", "--data", "data", "--out"],
    "evaluate": ["experiment.toml", "--data", "data", "--out"],
    "attack": ["127.0.0.1:1", "--pool", "in", "--test", "in", "--model", "m", "--out"],
}
OUT_FILES = {"report": ["results.json", "--out"], "secret": [], "serve": ["bundle", "--ready-file"]}


@pytest.mark.parametrize("command", [*OUT_OPTIONS, *OUT_FILES])
def test_place_that_cannot_be_written_is_refused_before_any_work(command: str, tmp_path: Path, knockguard: InProcess) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    words = OUT_OPTIONS.get(command) or OUT_FILES[command]
    taken = tmp_path / ("file" if command in OUT_OPTIONS else "folder")
    for place, said in (
        (tmp_path / "file" / "below", "file is a file"),
        (taken, "give the name of a"),
        *([(READ_ONLY / "new", "is closed to you")] if READ_ONLY.is_dir() and not os.access(READ_ONLY, os.W_OK) else []),
    ):
        done = knockguard(command, *words, place)
        assert (done.code, done.out, "Traceback" in done.err) == (2, "", False), done.err
        assert said in done.words.replace(" │ ", " "), done.words
    assert listing(tmp_path) == {"file", "folder"}


def test_every_command_that_writes_checks_its_place() -> None:
    writers = {
        name for name in COMMANDS for p in typer.main.get_command(app).commands[name].params if p.name in ("out", "folder")
    }  # type: ignore[attr-defined]
    assert writers <= {*OUT_OPTIONS, *OUT_FILES}


@pytest.mark.parametrize("module", ["protect_files", "audit", "recalibrating"])
def test_what_the_protect_extra_is_for_needs_no_torch(module: str) -> None:
    unwanted = {"torch", "torchvision", "onnxscript"}
    code = f"import sys, knockguard.{module}; print(*sorted({unwanted!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_list_names_every_plugin_with_its_family(knockguard: InProcess) -> None:
    done = knockguard("list")
    assert (done.code, done.err) == (0, "")
    cells = [[c.strip() for c in line.split("│")[1:3]] for line in done.out.splitlines() if line.startswith("│")]
    found = {(family, name) for family, name in cells if family}
    families = {"detector": DETECTORS, "policy": POLICIES, "attack": ATTACKS, "adversary": ADVERSARIES}
    assert found == {(family, name) for family, registry in families.items() for name in registry}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    policy = PolicyResult(
        policy="observe", surrogate_accuracy=0.6, recovery=0.75, net_recovery=0.5, fidelity=0.7, queries=100, flagged=80
    )
    results = Results(
        command="knockguard demo",
        created="2026-01-01T00:00:00+00:00",
        victim=VictimResult(accuracy=0.8, chance=0.2, n_test=50, architecture="cnn-small"),
        policies=(policy,),
        versions={},
        seeds={},
        stage_seconds={},
        settings={},
    )
    write_results(results, tmp_path / "run" / "results.json")
    return tmp_path / "run"


@pytest.mark.parametrize("named", ["folder", "file"])
def test_report_writes_the_page_again(named: str, results: Path, knockguard: InProcess) -> None:
    page = results / "report.html"
    page.write_text("old")
    done = knockguard("report", results if named == "folder" else results / "results.json")
    assert done.code == 0, done.err
    assert "0.75x" in done.out
    assert "0.75x" in page.read_text()
    assert str(page) in done.err
    assert "0.75x" in (results / "report.md").read_text()
    assert listing(results) == {"results.json", "report.html", "report.md"}


def test_report_goes_where_it_is_sent(results: Path, tmp_path: Path, knockguard: InProcess) -> None:
    assert knockguard("report", results, "-o", tmp_path / "new" / "page.html").code == 0
    assert "0.75x" in (tmp_path / "new" / "page.html").read_text()
    assert listing(results) == {"results.json"}


def test_report_says_what_is_wrong_with_results(results: Path, knockguard: InProcess) -> None:
    document = json.loads((results / "results.json").read_text())
    document["victim"]["accuracy"] = 1.5
    document["polices"] = []
    (results / "results.json").write_text(json.dumps(document))
    done = knockguard("report", results)
    assert done.code == 3
    assert "victim.accuracy" in done.words
    assert "did you mean 'policies'" in done.words
    assert listing(results) == {"results.json"}
