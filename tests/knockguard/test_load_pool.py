"""Splits: the same bytes never on two sides, whole classes where asked, and the same on every machine."""

import shutil
from pathlib import Path

import pytest
from miniature import Miniature, discs, quiet, save, stripes

from guard.errors import InvalidInputError
from guard.images import decode, read
from guard.types import Pixels
from knockguard.pools import IN_SPLIT, OUT_SPLIT, Pool, Reading, load_pool

READING = Reading((24, 24), 10_000, 0)


def keys(images: list[Pixels]) -> set[bytes]:
    return {i.tobytes() for i in images}


def sides(pool: Pool) -> dict[str, list[bytes]]:
    """Return what stands where, in order."""
    return {side: [i.tobytes() for i in images] for side, images in pool.sides.items()}


def test_copies_of_an_image_count_once_and_stand_on_one_side(miniature: Miniature, tmp_path: Path) -> None:
    for i, path in enumerate(sorted(miniature.inside.iterdir())[:300]):
        shutil.copy(path, tmp_path / path.name)
        shutil.copy(path, tmp_path / f"copy{299 - i:04d}.png")
    split = load_pool(tmp_path, IN_SPLIT, READING, progress=quiet).sides
    assert sum(map(len, split.values())) == 300
    assert len(keys(split["fit"]) | keys(split["calibration"]) | keys(split["test"])) == 300


def test_out_classes_stand_whole_on_one_side(miniature: Miniature) -> None:
    pool = load_pool(miniature.outside, OUT_SPLIT, READING, progress=quiet)
    assert pool.by_class
    assert pool.counts() == {"fit": 200, "test": 100}  # four and two classes of fifty
    names = {path.read_bytes(): path.parent.name for path in miniature.outside.rglob("*.png")}
    named = {decode(content).tobytes(): name for content, name in names.items()}
    where = {side: {named[key] for key in keys(images)} for side, images in pool.sides.items()}
    assert not where["fit"] & where["test"]
    assert len(where["fit"]) + len(where["test"]) == 6


def test_a_few_classes_are_split_by_image(tmp_path: Path) -> None:
    pool = load_pool(save(stripes(120, seed=6), tmp_path, ("a", "b", "c")), OUT_SPLIT, READING, progress=quiet)
    assert not pool.by_class
    assert 60 < pool.counts()["fit"] < 108  # 84 expected; beyond with probability under 1e-6


def test_split_hangs_on_bytes_and_seed_and_not_on_names_or_order(miniature: Miniature, tmp_path: Path) -> None:
    for i, path in enumerate(sorted(miniature.inside.iterdir(), reverse=True)):
        shutil.copy(path, tmp_path / f"{i:04d}.png")
    first, renamed = (load_pool(source, IN_SPLIT, READING, progress=quiet) for source in (miniature.inside, tmp_path))
    assert sides(first) == sides(renamed)
    other = load_pool(miniature.inside, IN_SPLIT, Reading((24, 24), 10_000, 1), progress=quiet)
    assert keys(first.sides["test"]) != keys(other.sides["test"])


def test_an_image_that_is_added_moves_none(miniature: Miniature, tmp_path: Path) -> None:
    shutil.copytree(miniature.inside, tmp_path / "more")
    save(discs(50, seed=77)[0], tmp_path / "more" / "later")
    before = load_pool(miniature.inside, IN_SPLIT, READING, progress=quiet).sides
    after = load_pool(tmp_path / "more", IN_SPLIT, READING, progress=quiet).sides
    assert all(keys(before[side]) <= keys(after[side]) for side in before)


def test_limit_is_kept_by_the_same_images_each_time(miniature: Miniature) -> None:
    few = Reading((24, 24), 200, 0)
    pool = load_pool(miniature.inside, IN_SPLIT, few, progress=quiet)
    assert sum(pool.counts().values()) == 200
    assert sides(pool) == sides(load_pool(miniature.inside, IN_SPLIT, few, progress=quiet))


def test_too_few_are_refused_with_how_many_there_are(miniature: Miniature) -> None:
    with pytest.raises(InvalidInputError, match="at least 50 are needed; there are 60 in all"):
        load_pool(miniature.inside, IN_SPLIT, Reading((24, 24), 60, 0), progress=quiet)


def test_pictures_far_larger_than_the_model_are_halved_and_the_rest_are_not(tmp_path: Path) -> None:
    save(discs(150, seed=8, side=96)[0], tmp_path / "large")
    save(discs(150, seed=9, side=95)[0], tmp_path / "smaller")
    pool = load_pool(tmp_path, IN_SPLIT, READING, progress=quiet)
    assert {i.shape for images in pool.sides.values() for i in images} == {(48, 48, 3), (95, 95, 3)}


def test_progress_tells_how_many_there_are(miniature: Miniature) -> None:
    heard: list[tuple[int, int]] = []
    load_pool(miniature.inside, IN_SPLIT, READING, progress=lambda done, total: heard.append((done, total)))
    n = sum(1 for _ in read(miniature.inside))
    assert heard == [(i, n) for i in range(1, n + 1)]
