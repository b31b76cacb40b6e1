"""`knockguard evaluate --executor ray`: a real cluster on this machine gives the numbers that are found without one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from miniature import COMMAND
from miniature_sets import write_sets

from evaluation.experiment_file import Experiment
from evaluation.experiment_reading import read_experiment
from guard.errors import ConfigError
from knockguard.evaluate_ray import on_ray, split
from knockguard.evaluate_run import EvaluateOptions

FILE = """
title = "Miniature"
differs = ["Everything is small."]
detectors = ["energy"]
target_fpr = 0.1
budgets = [60]
seeds = [0, 1]
[pool]
[victim]
architecture = "cnn-small"
size = 24
n_train = 400
shares = { victim = 0.3, detector = 0.2, calibration = 0.5 }
training = { epochs = 2 }
[[victims]]
name = "Discs"
set = "cifar10"
[[victims]]
name = "Missing"
set = "gtsrb"
[[surrogates]]
name = "S"
architecture = "cnn-small"
training = { epochs = 1 }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    write_sets(tmp_path / "data", n_train=450, n_test=90)
    (tmp_path / "small.toml").write_text(FILE)
    return tmp_path


def test_each_part_is_one_victim_of_one_seed(folder: Path) -> None:
    whole = read_experiment(folder / "small.toml")
    parts = split(whole)
    assert [(p.victims[0].name, p.seeds) for p in parts] == [
        ("Discs", (0,)),
        ("Discs", (1,)),
        ("Missing", (0,)),
        ("Missing", (1,)),
    ]
    ids = [c.id for p in parts for c in Experiment.model_validate_json(p.model_dump_json()).cells()]
    assert sorted(ids) == sorted(c.id for c in whole.cells())


def test_without_ray_its_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    options = EvaluateOptions(folder / "small.toml", folder / "data", folder / "out", fresh=False)
    with pytest.raises(ConfigError, match=r"knockguard\[ray\]"):
        on_ray(read_experiment(options.file), options, lambda _: None)


@pytest.mark.large  # a cluster of its own, and each victim twice
@pytest.mark.timeout(900)
def test_cluster_gives_the_numbers_that_one_machine_gives(folder: Path) -> None:
    """The set that is missing fails its victim on either, and takes no other with it."""
    pytest.importorskip("ray", reason="Ray is not installed; the extra `ray` brings it")
    found = {where: carried_out(folder, where) for where in ("ray", "here")}
    ours, theirs = found["here"], found["ray"]
    assert len(theirs["cells"]) == len(theirs["failures"]) == 2
    for document in (ours, theirs):
        for cell in document["cells"]:
            del cell["seconds"]
    for what in ("victims", "cells", "failures"):
        assert theirs[what] == ours[what]


def carried_out(folder: Path, where: str) -> dict[str, list[dict[str, object]]]:
    arguments = [
        "evaluate",
        folder / "small.toml",
        "--data",
        folder / "data",
        "-o",
        folder / where,
        "--executor",
        where,
        "--json",
    ]
    # Ray runs its workers at niceness 15: beside a machine's other work they hardly get on.
    environment = os.environ | {"RAY_worker_niceness": "0"}
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=400, env=environment)
    assert done.returncode == 1, done.stderr
    document: dict[str, list[dict[str, object]]] = json.loads((folder / where / "results.json").read_text())
    return document
