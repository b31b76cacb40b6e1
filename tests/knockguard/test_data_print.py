"""A data folder's fingerprint: every file of the sets that are named, and nothing else."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from guard.errors import ConfigError
from knockguard.data_print import data_fingerprint

NAMES = ("gtsrb", "imagenet", "cifar10", "caltech256")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in (
        "cifar10-train.parquet",
        "cifar10-test.parquet",
        "256_ObjectCategories/001.ak47/001_0001.jpg",
        "GTSRB/Final_Training/Images/00000/00000_00000.ppm",
        "GT-final_test.csv",
        "ILSVRC/Data/CLS-LOC/train/n01440764/a.JPEG",
        "LOC_synset_mapping.txt",
        "pools.csv",
        "tiny-imagenet-200.parquet",
        "notes/one.txt",
    ):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"as it was")
    return tmp_path / "data"


def _later(path: Path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


CHANGES: dict[str, Callable[[Path], object]] = {
    "an image far below has other bytes": lambda d: _later(d / "256_ObjectCategories/001.ak47/001_0001.jpg"),
    "an image is longer": lambda d: (d / "ILSVRC/Data/CLS-LOC/train/n01440764/a.JPEG").write_bytes(b"longer than it was"),
    "one image more": lambda d: (d / "GTSRB/Final_Training/Images/00000/00000_00001.ppm").write_bytes(b""),
    "an image has another class": lambda d: (d / "256_ObjectCategories/001.ak47").rename(d / "256_ObjectCategories/002.flag"),
    "a table": lambda d: _later(d / "cifar10-test.parquet"),
    "a table beside the folder": lambda d: _later(d / "GT-final_test.csv"),
    "classes' names beside the folder": lambda d: (d / "LOC_synset_mapping.txt").unlink(),
    "the table of pools": lambda d: _later(d / "pools.csv"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_each_change_to_a_set_that_is_used_shows(change: Callable[[Path], object], data: Path) -> None:
    before = data_fingerprint(data, NAMES)
    change(data)
    assert data_fingerprint(data, NAMES) != before


def test_what_is_not_used_does_not_show(data: Path) -> None:
    before = data_fingerprint(data, NAMES)
    _later(data / "tiny-imagenet-200.parquet")
    (data / "notes" / "two.txt").write_text("results, say")
    assert data_fingerprint(data, reversed(NAMES)) == before
    assert data_fingerprint(data, [*NAMES, "tiny-imagenet-200"]) != before


def test_folder_that_is_a_link_is_looked_into_and_circles_end(data: Path, tmp_path: Path) -> None:
    train = data / "ILSVRC/Data/CLS-LOC/train"
    train.rename(tmp_path / "other-disk")
    train.symlink_to(tmp_path / "other-disk")
    (tmp_path / "other-disk" / "up").symlink_to(data)
    (tmp_path / "other-disk" / "nowhere").symlink_to(tmp_path / "gone")
    before = data_fingerprint(data, NAMES)
    _later(tmp_path / "other-disk" / "n01440764/a.JPEG")
    assert data_fingerprint(data, NAMES) != before


def test_missing_set_is_no_error_and_an_unknown_one_is(data: Path) -> None:
    assert data_fingerprint(data, ["cubs200"]) != data_fingerprint(data, ["diabetic5"])
    with pytest.raises(ConfigError, match="did you mean 'cubs200'"):
        data_fingerprint(data, ["cubs"])
