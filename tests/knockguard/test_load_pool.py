"""Splits: the same bytes never on two sides, whole classes where asked, and the same every time."""

from pathlib import Path
from typing import Any

import pytest

from guard.errors import InvalidInputError
from knockguard.pools import IN_SPLIT, OUT_SPLIT, Reading, load_pool

READING = Reading((24, 24), 10_000, 0)


def quiet(_done: int, _total: int) -> None:
    pass


def keys(images: list[Any]) -> set[bytes]:
    return {i.tobytes() for i in images}


def test_copies_of_an_image_count_once_and_stand_on_one_side(miniature: Any, tmp_path: Path) -> None:
    for i, path in enumerate(sorted(miniature.inside.iterdir())[:300]):
        (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / f"copy{299 - i:04d}.png").write_bytes(path.read_bytes())
    sides = load_pool(tmp_path, IN_SPLIT, READING, progress=quiet).sides
    assert sum(map(len, sides.values())) == 300
    assert not keys(sides["fit"]) & keys(sides["test"])
    assert not keys(sides["calibration"]) & (keys(sides["test"]) | keys(sides["fit"]))


def test_out_classes_stand_whole_on_one_side(miniature: Any) -> None:
    pool = load_pool(miniature.outside, OUT_SPLIT, READING, progress=quiet)
    assert pool.by_class
    assert pool.counts() == {"fit": 200, "test": 100}  # four and two classes of fifty


def test_split_is_repeatable_and_hangs_on_the_seed(miniature: Any) -> None:
    first, again = (load_pool(miniature.inside, IN_SPLIT, READING, progress=quiet).sides for _ in range(2))
    other = load_pool(miniature.inside, IN_SPLIT, Reading((24, 24), 10_000, 1), progress=quiet).sides
    assert keys(first["test"]) == keys(again["test"]) != keys(other["test"])


def test_limit_is_kept_and_too_few_are_refused(miniature: Any) -> None:
    few = load_pool(miniature.inside, IN_SPLIT, Reading((24, 24), 200, 0), progress=quiet)
    assert sum(few.counts().values()) == 200
    with pytest.raises(InvalidInputError, match="at least 50 are needed"):
        load_pool(miniature.inside, IN_SPLIT, Reading((24, 24), 60, 0), progress=quiet)
