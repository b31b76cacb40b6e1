"""Splits: the same bytes never on two sides, whole classes where asked, and the same on every machine."""

import shutil
import tracemalloc
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from miniature import Miniature, discs, quiet, save, stripes

from evaluation.matching import Sample, Search, match
from guard.errors import InvalidInputError
from guard.images import decode, read
from guard.types import Pixels
from knockguard.matching import choose, into_material
from knockguard.pools import IN_SPLIT, OUT_SPLIT, Pool, Reading, Split, check_apart, look_through

READING = Reading(10_000, 0)


def keys(images: list[Pixels]) -> set[bytes]:
    return {i.tobytes() for i in images}


def images_of(pool: Pool) -> dict[str, list[Pixels]]:
    """Return the images of each side, by row."""
    rows: dict[str, dict[int, Pixels]] = {side: {} for side in pool.counts()}
    for side, row, image in pool.images(progress=quiet):
        rows[side][row] = image
    assert {side: sorted(images) for side, images in rows.items()} == {side: list(range(n)) for side, n in pool.counts().items()}
    return {side: [images[row] for row in sorted(images)] for side, images in rows.items()}


def load(source: Path, split: Split, reading: Reading = READING) -> dict[str, list[Pixels]]:
    return images_of(look_through(source, split, reading))


def sides(images: dict[str, list[Pixels]]) -> dict[str, list[bytes]]:
    """Return what stands where, in order."""
    return {side: [i.tobytes() for i in found] for side, found in images.items()}


def test_copies_of_an_image_count_once_and_stand_on_one_side(miniature: Miniature, tmp_path: Path) -> None:
    for i, path in enumerate(sorted(miniature.inside.iterdir())[:300]):
        shutil.copy(path, tmp_path / path.name)
        shutil.copy(path, tmp_path / f"copy{299 - i:04d}.png")
    split = load(tmp_path, IN_SPLIT)
    assert sum(map(len, split.values())) == 300
    assert len(keys(split["fit"]) | keys(split["calibration"]) | keys(split["test"])) == 300


def test_copies_take_no_places_of_the_limit(miniature: Miniature, tmp_path: Path) -> None:
    for i, path in enumerate(sorted(miniature.inside.iterdir())[:300]):
        shutil.copy(path, tmp_path / path.name)
        shutil.copy(path, tmp_path / f"copy{299 - i:04d}.png")
    images = load(tmp_path, IN_SPLIT, Reading(200, 0))
    assert len({key for found in images.values() for key in keys(found)}) == sum(map(len, images.values())) == 200


def test_out_classes_stand_whole_on_one_side(miniature: Miniature) -> None:
    pool = look_through(miniature.outside, OUT_SPLIT, READING)
    assert pool.by_class
    assert pool.counts() == {"fit": 200, "test": 100}  # four and two classes of fifty
    names = {path.read_bytes(): path.parent.name for path in miniature.outside.rglob("*.png")}
    named = {decode(content).tobytes(): name for content, name in names.items()}
    where = {side: {named[key] for key in keys(images)} for side, images in images_of(pool).items()}
    assert not where["fit"] & where["test"]
    assert len(where["fit"]) + len(where["test"]) == 6


def test_a_few_classes_are_split_by_image(tmp_path: Path) -> None:
    pool = look_through(save(stripes(120, seed=6), tmp_path, ("a", "b", "c")), OUT_SPLIT, READING)
    assert not pool.by_class
    assert 60 < pool.counts()["fit"] < 108  # 84 expected; beyond with probability under 1e-6


def test_split_hangs_on_bytes_and_seed_and_not_on_names_or_order(miniature: Miniature, tmp_path: Path) -> None:
    for i, path in enumerate(sorted(miniature.inside.iterdir(), reverse=True)):
        shutil.copy(path, tmp_path / f"{i:04d}.png")
    first, renamed = (load(source, IN_SPLIT) for source in (miniature.inside, tmp_path))
    assert sides(first) == sides(renamed)
    other = load(miniature.inside, IN_SPLIT, Reading(10_000, 1))
    assert keys(first["test"]) != keys(other["test"])


def test_an_image_that_is_added_moves_none(miniature: Miniature, tmp_path: Path) -> None:
    shutil.copytree(miniature.inside, tmp_path / "more")
    save(discs(50, seed=77)[0], tmp_path / "more" / "later")
    before = load(miniature.inside, IN_SPLIT)
    after = load(tmp_path / "more", IN_SPLIT)
    assert all(keys(before[side]) <= keys(after[side]) for side in before)


def test_limit_is_kept_by_the_images_of_the_smallest_hashes(miniature: Miniature) -> None:
    few = load(miniature.inside, IN_SPLIT, Reading(200, 0))
    every = {sha256(item.content).digest(): decode(item.content).tobytes() for item in read(miniature.inside)}
    assert {key for images in few.values() for key in keys(images)} == {every[digest] for digest in sorted(every)[:200]}
    assert sides(few) == sides(load(miniature.inside, IN_SPLIT, Reading(200, 0)))


def test_a_large_source_takes_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (700, 48_000), dtype=np.uint8)  # 33 MB that no codec shrinks
    header = b"P6 120 120 255\n"
    cells = [{"bytes": header + row[:43_200].tobytes()} for row in noise]
    del noise
    pq.write_table(pa.table({"image": cells}), tmp_path / "large.parquet", row_group_size=50)
    del cells
    tracemalloc.start()
    try:
        pool = look_through(tmp_path / "large.parquet", IN_SPLIT, Reading(300, 0))
        for _ in pool.images(progress=quiet):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(pool.counts().values()) == 300
    assert peak < 4 << 20, "300 images of 43 KB would be 13 MB, and all of them 30"


def test_broken_image_is_refused_only_if_it_is_chosen(miniature: Miniature, tmp_path: Path) -> None:
    shutil.copytree(miniature.inside, tmp_path / "in")
    digests = sorted(sha256(item.content).digest() for item in read(miniature.inside))
    candidates = (b"no image %d" % i for i in range(100_000))
    late = next(c for c in candidates if digests[300] < sha256(c).digest())
    early = next(c for c in candidates if digests[100] > sha256(c).digest())
    (tmp_path / "in" / "late.png").write_bytes(late)
    assert sum(look_through(tmp_path / "in", IN_SPLIT, Reading(200, 0)).counts().values()) == 200
    (tmp_path / "in" / "early.png").write_bytes(early)
    with pytest.raises(InvalidInputError, match=r"early\.png is not an image"):
        look_through(tmp_path / "in", IN_SPLIT, Reading(200, 0))


def test_pool_that_lies_in_the_other_is_refused_with_the_count_and_an_example(tmp_path: Path) -> None:
    save(discs(120, seed=8)[0], tmp_path / "in")
    save(stripes(90, seed=9), tmp_path / "in" / "out", ("a", "b", "c"))
    save(stripes(90, seed=10), tmp_path / "other", ("a", "b", "c"))
    inside = look_through(tmp_path / "in", IN_SPLIT, READING)
    with pytest.raises(InvalidInputError, match=r"^90 of the 90 images of .*/in/out are .*/in/out/a/0000.png.*/in/out lies in"):
        check_apart(inside, look_through(tmp_path / "in" / "out", OUT_SPLIT, READING))
    other = tmp_path / "other"
    check_apart(inside, look_through(other, OUT_SPLIT, READING))
    shutil.copy(tmp_path / "in" / "0007.png", other / "b" / "also.png")
    with pytest.raises(InvalidInputError, match=r"^1 of the 91 images of .*/other/b/also.png for one; an image is"):
        check_apart(inside, look_through(other, OUT_SPLIT, READING))


def test_links_that_are_dropped_are_said(miniature: Miniature, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(discs(120, seed=8)[0], tmp_path / "in")
    (tmp_path / "in" / "more").symlink_to(miniature.inside)
    assert sum(look_through(tmp_path / "in", IN_SPLIT, READING).counts().values()) == 120
    assert "1 links below" in " ".join(capsys.readouterr().err.split())


def test_image_that_changed_in_between_is_refused(miniature: Miniature, tmp_path: Path) -> None:
    shutil.copytree(miniature.inside, tmp_path / "in")
    pool = look_through(tmp_path / "in", IN_SPLIT, READING)
    save(discs(1, seed=99)[0], tmp_path / "in")
    with pytest.raises(InvalidInputError, match=r"0000\.png has changed since"):
        list(pool.images(progress=quiet))
    last = sorted((tmp_path / "in").iterdir())[-1]
    shutil.copy(miniature.inside / "0000.png", tmp_path / "in")
    last.unlink()
    with pytest.raises(InvalidInputError, match="in has lost images since"):
        list(pool.images(progress=quiet))


def test_too_few_are_refused_with_how_many_there_are(miniature: Miniature) -> None:
    with pytest.raises(InvalidInputError, match="at least 50 are needed; there are 60 in all"):
        look_through(miniature.inside, IN_SPLIT, Reading(60, 0))


def test_fewer_test_images_than_the_baseline_takes_are_refused_at_once(miniature: Miniature) -> None:
    split = Split({"fit": 0.98, "test": 0.02}, classes=False)
    with pytest.raises(InvalidInputError, match=r"fell to 'test', at least 10 are needed; there are 100 in all, give more"):
        look_through(miniature.inside, split, Reading(100, 0))


def test_short_sides_are_those_of_the_pictures(tmp_path: Path) -> None:
    save(discs(150, seed=8, side=96)[0], tmp_path / "large")
    save(discs(150, seed=9, side=95)[0], tmp_path / "smaller")
    pool = look_through(tmp_path, IN_SPLIT, READING)
    found = {side: [min(i.shape[:2]) for i in images] for side, images in images_of(pool).items()}
    assert found == {side: short.tolist() for side, short in pool.short_sides.items()}
    assert {side for short in found.values() for side in short} == {95, 96}


def test_progress_tells_how_many_there_are(miniature: Miniature) -> None:
    heard: list[tuple[int, int]] = []
    list(look_through(miniature.inside, IN_SPLIT, READING).images(progress=lambda done, total: heard.append((done, total))))
    n = sum(1 for _ in read(miniature.inside))
    assert heard == [(i, n) for i in range(1, n + 1)]


def test_matching_one_image_at_a_time_gives_what_the_whole_chain_gives(miniature: Miniature) -> None:
    pools = look_through(miniature.inside, IN_SPLIT, READING), look_through(miniature.outside, OUT_SPLIT, READING)
    inside, outside = map(images_of, pools)
    heard: list[tuple[int, int]] = []
    search = Search((24, 24), seed=5)
    matching = choose(*pools, "fit", (100, 90), search=search, progress=lambda done, total: heard.append((done, total)))
    assert heard == [(done, 380) for done in range(1, 381)]
    # The first rows choose, in the order in which they are read.
    known, unknown = (
        [image for _, _, image in pool.images(progress=quiet, most={"fit": n})] for pool, n in zip(pools, (100, 90), strict=True)
    )
    assert (len(known), len(unknown)) == (100, 90)
    assert matching == match(Sample(known, 100, 24, None), Sample(unknown, 90, 24, None), search)
    material = into_material(matching, *pools, seed=5, progress=quiet)
    for fitted, images, draw in ((material.in_fit, inside, 5), (material.out_fit, outside, 6)):
        np.testing.assert_array_equal(fitted, np.concatenate([matching.apply(images["fit"], seed=draw), np.stack(images["fit"])]))
    np.testing.assert_array_equal(material.out_test, matching.apply(outside["test"], seed=9))
    np.testing.assert_array_equal(material.calibration["reencoded"], matching.apply(inside["calibration"], seed=7))
    np.testing.assert_array_equal(material.calibration["as_sent"], np.stack(inside["calibration"]))
