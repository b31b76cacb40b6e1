"""The demo, small: it tells the whole story, says what it reuses, and an interrupt leaves nothing half done."""

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

import pytest

from evaluation.results import Results, read_results
from evaluation.training import Training
from guard.bundle import load_bundle
from knockguard.demo import run_demo
from knockguard.demo_stages import POLICIES, Scale

SMALL = Scale(
    victim="cnn-small",
    victim_training=Training(epochs=10, upside_down=True),
    max_per_zone=60,
    n_detector_crops=300,
    student=replace(Scale().student, training=Training(epochs=1)),
    n_pool=160,
    n_queries=80,
    n_copies=2,
    curve=(40, 80),
)
PROGRAM = f"""
import pickle, sys
from pathlib import Path
from knockguard import cli
from knockguard.demo import run_demo

def small():
    run_demo(Path(sys.argv[1]), seed=0, fresh=False, as_json=False, scale=pickle.loads({pickle.dumps(SMALL)!r}))

cli.app = small
cli.main()
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    run_demo(folder, seed=0, fresh=False, as_json=False, scale=SMALL)
    return folder


def left_behind(folder: Path) -> list[str]:
    """Names of half-written files and scratch folders."""
    return [p.name for p in folder.rglob("*") if p.name.startswith(".") or p.suffix == ".tmp"]


def test_results_hold_what_the_demo_promises(told: Path) -> None:
    results = read_results(told)
    assert [p.policy for p in results.policies] == list(POLICIES)
    assert results.victim.chance == pytest.approx(0.2)
    assert results.detector is not None
    assert results.baseline is not None
    assert (results.detector.name, results.detector.n_out, results.detector.out_groups) == ("two-sided", 160, 40)
    assert (results.detector.in_groups or 0) > 15
    for policy in results.policies:
        assert policy.queries == 80
        assert policy.benign_n == results.detector.n_in == results.victim.n_test
        assert [n for n, _ in policy.budget_curve] == [40, 80]
        assert len(policy.copies) == 2
        assert policy.recovery == pytest.approx(sum(policy.copies) / 2)
    assert set(json.loads((told / "results.json").read_text())["stage_seconds"]) > {"training the victim"}
    assert "torch" in results.versions
    assert results.reused == ()


def test_the_page_and_the_bundle_can_be_opened(told: Path) -> None:
    page = (told / "report.html").read_text()
    assert page.count("<svg") >= 3
    assert page.count("data:image/png;base64,") > 8
    assert not re.search(r'(src|href)="https?://', page)
    assert load_bundle(told / "bundle").manifest.detector == "two-sided"
    assert left_behind(told) == []


def test_a_second_run_reuses_what_holds_and_says_so(told: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = read_results(told)
    run_demo(told, seed=0, fresh=False, as_json=False, scale=SMALL)
    after = read_results(told)
    assert {"victim", *(f"attack-{policy}" for policy in POLICIES)} <= set(after.reused)
    assert same(after) == same(before)
    assert "reused:" in capfd.readouterr().err


def is_gone(group: int) -> bool:
    """Whether a process group ends within five seconds: what has ended stays until it is reaped, which is not ours to do."""
    give_up = monotonic() + 5
    while monotonic() < give_up:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        sleep(0.05)
    return False


def same(results: Results) -> object:
    return [(p.policy, p.curve_copies, p.flagged, p.benign_flagged) for p in results.policies], results.victim


@pytest.mark.parametrize("stage", ["training the victim", pytest.param("attacking under observe", marks=pytest.mark.large)])
def test_an_interrupt_leaves_no_process_and_nothing_half_written(stage: str, told: Path, tmp_path: Path) -> None:
    (tmp_path / "stages").mkdir()
    for crops in (told / "stages").glob("crops-*"):  # the rest is done anew
        shutil.copy(crops, tmp_path / "stages")
    words = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True) as demo:
        assert demo.stderr is not None
        position = {"training the victim": "[1/7]", "attacking under observe": "[3/7]"}[stage]
        next(line for line in demo.stderr if line.startswith(position))
        demo.send_signal(signal.SIGINT)
        said = demo.stderr.read()
        assert demo.wait(timeout=30) == 130
    assert "Traceback" not in said
    assert left_behind(tmp_path) == []
    assert is_gone(demo.pid)  # its whole session, the gateway with it
    assert not (tmp_path / "results.json").exists()
