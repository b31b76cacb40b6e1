"""Every file of experiments/paper runs to its end: the same design on its sets in miniature, with small untrained networks."""

import json
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from paper_sets import write_paper_sets
from torch import nn

from evaluation.detection_study import read_study
from evaluation.evaluation_results import read_evaluation
from evaluation.experiment_reading import experiment_from, merged
from knockguard.evaluating import EvaluateOptions, evaluate_file
from knockguard.study import RESULT, StudyOptions, study_file

pytestmark = [pytest.mark.large, pytest.mark.timeout(1800)]

PAPER = Path(__file__).parents[2] / "experiments" / "paper"
EXPERIMENTS = ("table2", "table5", "table6", "table7", "figure1", "section5_3", "section5_4")
STUDIES = ("table3", "table4")
SIDE = 24
# Each set is some file's; table 2 has them all, and figure 1 its two sorts of victim.
N_VICTIMS = {"table2": 5, "figure1": 2, "table6": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper-data")
    write_paper_sets(folder, n=30)
    return folder


@pytest.fixture(scope="module")
def filters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random convolutions: what stands in for ImageNet's weights, which nothing here may download."""
    path = tmp_path_factory.mktemp("filters") / "filters.onnx"
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.manual_seed(6)
        layers = nn.Sequential(nn.Conv2d(3, 24, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 4))
        torch.onnx.export(layers.eval(), (torch.zeros(1, 3, SIDE, SIDE),), path, verbose=False, external_data=False)
    return path


def document(name: str) -> dict[str, Any]:
    """Return the parsed file with what it extends."""
    own = tomllib.loads((PAPER / f"{name}.toml").read_text())
    base = own.pop("extends", None)
    return own if base is None else merged(document(Path(base).stem), own)


def shrunk(name: str, filters: Path) -> dict[str, Any]:
    """Return the file's experiment, as it was read, with sizes, epochs, budgets and networks made small and the rest kept."""
    whole = experiment_from(document(name)).model_dump(mode="json")
    whole["victims"] = [small(v) | {"size": min(v["size"], SIDE)} for v in whole["victims"][: N_VICTIMS.get(name, 1)]]
    if name in STUDIES:  # a covariance of 64 features needs as many images and more
        for victim in whole["victims"]:
            victim["shares"] = {"victim": 0.15, "detector": 0.65, "calibration": 0.2}
    whole["surrogates"] = [small(s) for s in whole["surrogates"]]
    whole["budgets"] = [20 * (i + 1) for i, _ in enumerate(whole["budgets"])]
    whole["target_fpr"] = 0.5  # few images calibrate
    for detector in whole["detectors"]:
        if detector["name"] == "frozen-lr":
            detector["options"] = {"weights": str(filters), "side": SIDE, "folds": 2}
        if detector["name"] == "scratch":
            detector["options"] |= {"side": SIDE, "epochs": 1}
    return whole


def small(network: dict[str, Any]) -> dict[str, Any]:
    plain = {"architecture": "cnn-small"} if network["weights"] == "imagenet" else {}
    return network | plain | {"weights": "none", "training": network["training"] | {"epochs": 2, "batch_size": 16}}


def test_every_file_is_here() -> None:
    shared = {"base", "detection"}
    assert {path.stem for path in PAPER.glob("*.toml")} == {*EXPERIMENTS, *STUDIES} | shared


def toml(content: dict[str, Any]) -> str:
    return "".join(f"{key} = {value(v)}\n" for key, v in content.items())


def value(found: Any) -> str:
    """Return a value as TOML has it, which has no null: what is None is left out."""
    if isinstance(found, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {value(v)}" for k, v in found.items() if v is not None) + " }"
    return f"[{', '.join(map(value, found))}]" if isinstance(found, list) else json.dumps(found)


@pytest.fixture
def written(tmp_path: Path, filters: Path) -> Callable[[str], Path]:
    """Write a file's small form where the command reads it."""

    def write(name: str) -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(toml(shrunk(name, filters)))
        return path

    return write


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_ends_with_all_of_its_cells(name: str, data: Path, written: Callable[[str], Path], tmp_path: Path) -> None:
    whole = evaluate_file(EvaluateOptions(written(name), data, tmp_path / "out", fresh=False), as_json=True)
    found = read_evaluation(tmp_path / "out")
    assert [f"{f.id}: {f.error}" for f in found.failures] == []
    assert whole
    assert len(found.victims) == N_VICTIMS.get(name, 1)
    assert len(found.cells) >= len(found.victims)
    assert all(cell.n_answered for cell in found.cells)
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.parametrize("name", STUDIES)
def test_study_ends_with_all_of_its_detectors(name: str, data: Path, written: Callable[[str], Path], tmp_path: Path) -> None:
    study_file(StudyOptions(written(name), data, tmp_path / "out", fresh=False), as_json=True)
    [victim] = read_study(tmp_path / "out" / RESULT).victims
    assert len({row.detector for row in victim.rows}) >= 4
