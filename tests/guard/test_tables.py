"""Tables of images: what `datasets` saves is found and read without it, and a broken one is told in a sentence."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from guard.errors import InvalidInputError
from guard.images import decode, read
from guard.tables import find_tables

Saved = Callable[..., Path]


def table_of(tmp_path: Path, n: int, *, first: int = 0, **columns: object) -> pa.Table:
    """Return n images of grey levels first, first + 1, ... in the hub's layout."""
    images = []
    for i in range(first, first + n):
        Image.fromarray(np.full((4, 5, 3), i, np.uint8)).save(tmp_path / "x.png")
        images.append({"bytes": (tmp_path / "x.png").read_bytes(), "path": f"{i}.png"})
    return pa.table({"image": images, "label": list(range(first, first + n)), **columns})


def write_arrow(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return a folder as `Dataset.save_to_disk` lays it out: two shards, and one left over from an earlier save."""
    folder = tmp_path / "saved"
    for i, first in enumerate((0, 3)):
        write_arrow(folder / f"data-0000{i}-of-00002.arrow", table_of(tmp_path, 3, first=first, note=["a", "b", "c"]))
    write_arrow(folder / "data-00000-of-00001.arrow", table_of(tmp_path, 1, first=99))
    state = {"_data_files": [{"filename": f"data-0000{i}-of-00002.arrow"} for i in range(2)], "_split": "train"}
    (folder / "state.json").write_text(json.dumps(state))
    return folder


def test_saved_dataset_is_read_shard_by_shard_as_its_own_list_says(saved: Path) -> None:
    found = list(read(saved))
    assert [item.label for item in found] == [str(i) for i in range(6)]
    assert [decode(item.content)[0, 0, 0] for item in found] == list(range(6))


def test_one_arrow_file_will_do(saved: Path) -> None:
    assert [item.label for item in read(saved / "data-00001-of-00002.arrow")] == ["3", "4", "5"]


def test_dict_of_splits_asks_for_one_of_them(saved: Path) -> None:
    (saved.parent / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(InvalidInputError, match=r"splits train, test; give one of them, such as .*/train"):
        find_tables(saved.parent)


@pytest.mark.parametrize(
    "state",
    [
        '{"_data_files": [{"filename": "../data.arrow"}]}',
        '{"_data_files": [{"filename": "/etc/passwd"}]}',
        '{"_data_files": [{"filename": "gone.arrow"}]}',
        '{"_data_files": [{"filename": "state.json"}]}',
        '{"_data_files": [7]}',
        '{"_data_files": []}',
        '{"_data_files": {"filename": "x"}}',
        "[]",
        "[" * 100_000,
        "no json",
    ],
    ids=range(10),
)
def test_list_that_is_broken_or_leads_elsewhere_is_refused(state: str, saved: Path) -> None:
    write_arrow(saved.parent / "data.arrow", pa.table({"image": [b"x"]}))
    (saved / "state.json").write_text(state)
    with pytest.raises(InvalidInputError, match="to disk again"):
        find_tables(saved)


@pytest.mark.parametrize("suffix", [".arrow", ".parquet"])
def test_row_that_is_only_a_path_is_named(suffix: str, tmp_path: Path) -> None:
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    table = pa.table({"image": pa.array([{"bytes": None, "path": "a.jpg"}], kind)})
    path = tmp_path / f"x{suffix}"
    write_arrow(path, table) if suffix == ".arrow" else pq.write_table(table, path)
    with pytest.raises(InvalidInputError, match="row 0 holds no image bytes, or only a path"):
        list(read(path))


@pytest.mark.parametrize("suffix", [".arrow", ".parquet"])
def test_file_of_another_kind_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"not really a table of anything")
    with pytest.raises(InvalidInputError, match="not a table of images"):
        list(read(path))
    table = pa.table({"picture": [1]})
    write_arrow(path, table) if suffix == ".arrow" else pq.write_table(table, path)
    with pytest.raises(InvalidInputError, match="no column 'image'; it has picture"):
        list(read(path))
