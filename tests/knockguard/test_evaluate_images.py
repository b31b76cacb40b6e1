"""What an evaluation reads: as many out images as the file lets fit, and none that fit nothing."""

from pathlib import Path

import pytest
from miniature import quiet
from miniature_sets import write_sets

from evaluation.experiment_file import Experiment
from evaluation.experiment_reading import experiment_from
from knockguard.evaluate_images import Images, read_images

NETWORK = {"architecture": "cnn-small", "training": {"epochs": 1}}
VICTIM = {**NETWORK, "name": "Discs", "set": "cifar10", "size": 24}
EVERYTHING = {"victim": 1.0, "detector": 0.0, "calibration": 0.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_sets(folder, n_train=90, n_test=30)
    return folder


def experiment(**changes: object) -> Experiment:
    document = {"title": "x", "victim": VICTIM, "surrogate": {**NETWORK, "name": "S"}, "budgets": [20]}
    return experiment_from(document | {"chain": {"matched": False}} | changes)


def read(of: Experiment, data: Path) -> Images:
    return read_images(of, of.victims[0], data, seed=0, progress=quiet)


def test_file_says_how_many_out_images_fit_and_the_report_tells_it(data: Path) -> None:
    few = read(experiment(detectors=["energy"], pool={"n_fit": 12}), data)
    assert len(few.pixels["out_fit"]) == 12
    assert "; 12 of 200 out images fit a detector" in few.history
    every = read(experiment(detectors=["energy"]), data)
    assert len(every.pixels["out_fit"]) == 200


def test_victim_that_nobody_defends_learns_from_every_image(data: Path) -> None:
    images = read(experiment(victim=VICTIM | {"shares": EVERYTHING}), data)
    assert images.counts() == {"victim": 90, "test": 30, "pool": 200}
    assert "fit a detector" not in images.history
