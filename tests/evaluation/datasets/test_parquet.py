"""Parquet in the hub's layout: it wins over other layouts, names its classes, and fails in a sentence."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trees import Put, picture

from evaluation.datasets import Split, load
from guard.errors import InvalidInputError
from guard.images import decode

NAMES = ["bird", "cat", "dog"]
HUB = {"huggingface": json.dumps({"info": {"features": {"label": {"names": NAMES, "_type": "ClassLabel"}}}})}


def write(
    path: Path, labels: list[int], *, names: bool = True, paths: list[str] | None = None, column: str = "image"
) -> list[bytes]:
    pictures = [picture(i, kind="JPEG") for i in range(len(labels))]
    images = [{"bytes": b, "path": p} for b, p in zip(pictures, paths or [None] * len(labels), strict=True)]
    table = pa.table({column: images, "label": pa.array(labels, pa.int64())})
    pq.write_table(table.replace_schema_metadata(HUB if names else None), path, row_group_size=2)
    return pictures


def test_images_labels_and_class_names_are_read(tmp_path: Path) -> None:
    pictures = write(tmp_path / "cifar10-train.parquet", [2, 0, 0])
    found = load("cifar10", tmp_path, Split.TRAIN)
    assert found.labels.tolist() == [2, 0, 0]
    assert found.classes == tuple(NAMES)
    assert found.encoded(2) == pictures[2]
    np.testing.assert_array_equal(found.image(1), decode(pictures[1]))


def test_shards_are_read_in_order(tmp_path: Path) -> None:
    write(tmp_path / "cifar10-test-00001-of-00002.parquet", [1], column="img")
    write(tmp_path / "cifar10-test-00000-of-00002.parquet", [2, 0], column="img")
    assert load("cifar10", tmp_path, Split.TEST).labels.tolist() == [2, 0, 1]


def test_parquet_wins_over_the_published_layout(put: Put, tmp_path: Path) -> None:
    put("tiny-imagenet-200/wnids.txt", text="n01443537\n")
    write(tmp_path / "tiny-imagenet-200.parquet", [0, 1])
    assert len(load("tiny-imagenet-200", tmp_path, Split.TRAIN)) == 2
    with pytest.raises(InvalidInputError):  # one file is one split: it never stands in for the other
        load("tiny-imagenet-200", tmp_path, Split.TEST)


def test_classes_without_names_are_numbered(tmp_path: Path) -> None:
    write(tmp_path / "cifar10-train.parquet", [3, 0], names=False)
    assert load("cifar10", tmp_path).classes == ("0", "1", "2", "3")


def test_tracks_are_told_from_original_paths(tmp_path: Path) -> None:
    paths = ["gtsrb/1/00000_00001.ppm", "gtsrb/1/00000_00002.ppm", "gtsrb/2/00000_00001.ppm", "gtsrb/1/00001_00000.ppm"]
    write(tmp_path / "gtsrb-train.parquet", [1, 1, 2, 1], paths=paths)
    groups = load("gtsrb", tmp_path).groups.tolist()
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3


def test_row_without_bytes_is_named_when_it_is_decoded(tmp_path: Path) -> None:
    table = pa.table(
        {"image": pa.array([{"bytes": None, "path": "a.jpg"}], pa.struct({"bytes": pa.binary(), "path": pa.string()}))}
    )
    pq.write_table(table, tmp_path / "cifar10-test.parquet")
    with pytest.raises(InvalidInputError, match=r"cifar10-test\.parquet row 0 holds no image bytes"):
        load("cifar10", tmp_path, Split.TEST).image(0)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (pa.array(["cat", "dog"]), "not a table of images that can be read"),
        (pa.array([0.5, 1.0]), "not a table of images that can be read"),
        (pa.array([], pa.int64()), "holds no image: it has 0 rows"),
    ],
)
def test_labels_that_number_no_class_are_refused(labels: pa.Array, said: str, tmp_path: Path) -> None:
    table = pa.table({"image": [{"bytes": picture(0), "path": None}] * len(labels), "label": labels})
    pq.write_table(table, tmp_path / "cifar10-train.parquet")
    with pytest.raises(InvalidInputError, match=said):
        load("cifar10", tmp_path)


def test_what_is_no_parquet_file_of_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cifar10-train.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InvalidInputError, match="not a table of images"):
        load("cifar10", tmp_path)
    pq.write_table(pa.table({"picture": [1]}), tmp_path / "cifar10-test.parquet")
    with pytest.raises(InvalidInputError, match="no column 'image'; it has picture"):
        load("cifar10", tmp_path, Split.TEST)
