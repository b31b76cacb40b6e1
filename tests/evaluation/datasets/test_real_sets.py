"""The real sets, where the environment variable KNOCKGUARD_DATA names a folder that has them."""

from pathlib import Path

import pytest

from evaluation.datasets import load

pytestmark = pytest.mark.data


@pytest.mark.parametrize(
    ("name", "split", "shape", "side"),
    [
        ("cifar10", "train", (50_000, 10), 32),
        ("cifar10", "test", (10_000, 10), 32),
        ("gtsrb", "train", (21_749, 43), 64),
        ("gtsrb", "test", (4_889, 43), 64),
        ("caltech101", "train", (6_982, 101), 96),
        ("caltech101", "test", (1_695, 101), 96),
        ("tiny-imagenet-200", "train", (40_000, 200), 64),
        ("imagenet-samples-1000", "test", (1_000, 1_000), 128),
    ],
)
def test_set_has_its_rows_classes_and_images(name: str, split: str, shape: tuple[int, int], side: int, data_folder: Path) -> None:
    found = load(name, data_folder, split)
    assert (len(found), found.n_classes) == shape
    assert (found.counts > 0).all()
    image = found.image(shape[0] // 2)
    assert image.ndim == 3
    assert 8 <= max(image.shape[:2]) <= side
    assert image.std() > 0


def test_no_track_of_a_sign_is_in_both_splits_or_on_two_sides(data_folder: Path) -> None:
    train = load("gtsrb", data_folder, "train")
    parts = train.divide({"victim": 0.5, "detector": 0.2, "calibration": 0.15, "test": 0.15}, seed=0)
    groups = [set(part.groups.tolist()) for part in parts.values()]
    assert sum(map(len, groups)) == len(set().union(*groups)) == len(set(train.groups.tolist()))
    assert (parts["victim"].counts > 0).all()
