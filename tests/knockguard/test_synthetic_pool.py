"""The word `synthetic`: whole kinds on one side, none of the images that calibrate, and the same images each time."""

from pathlib import Path

import numpy as np
import pytest
from miniature import Miniature, quiet

from evaluation.synthetic import KINDS
from knockguard.pools import IN_SPLIT, WHOLE, Pool, Reading, look_through
from knockguard.synthetic_pool import Synthetic, is_synthetic


@pytest.fixture(scope="module")
def inside(miniature: Miniature) -> Pool:
    return look_through(miniature.inside, IN_SPLIT, Reading(10_000, 0))


def images_of(source: Synthetic | Pool, side: str) -> set[bytes]:
    return {image.tobytes() for name, _, image in source.images(progress=quiet) if name == side}


def test_kinds_stand_whole_on_one_side_and_all_are_used(inside: Pool) -> None:
    made = Synthetic.of(inside, n=100, seed=3, split=True)
    fit, test = (set(made.labels[side]) for side in ("fit", "test"))
    assert not fit & test
    assert fit | test == set(KINDS)
    assert made.counts() == {"fit": 70, "test": 30}
    assert Synthetic.of(inside, n=100, seed=4, split=True).kinds != made.kinds


def test_images_are_made_of_those_on_their_own_side_alone(inside: Pool) -> None:
    made = Synthetic.of(inside, n=10, seed=0, split=True)
    for side in ("fit", "test"):
        assert {image.tobytes() for image in made.own[side]} <= images_of(inside, side)
    assert not {image.tobytes() for image in made.own["fit"]} & images_of(inside, "calibration")


def test_rows_come_in_order_and_the_same_again(inside: Pool) -> None:
    made = Synthetic.of(inside, n=12, seed=0, split=True)
    first, again = (list(made.images(progress=quiet)) for _ in range(2))
    assert [(side, row) for side, row, _ in first] == [("fit", i) for i in range(8)] + [("test", i) for i in range(4)]
    for (_, _, a), (_, _, b) in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [(side, row) for side, row, _ in made.images(progress=quiet, most={"fit": 3})] == [("fit", i) for i in range(3)]
    assert {image.shape[0] for _, _, image in first} == set(made.short_sides["fit"].tolist()) == {24}


def test_word_is_meant_unless_a_folder_has_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, miniature: Miniature
) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_synthetic(Path("synthetic"))
    assert not is_synthetic(Path("synthetics"))
    (tmp_path / "synthetic").mkdir()
    assert not is_synthetic(Path("synthetic"))
    source = look_through(miniature.inside, WHOLE, Reading(60, 0))
    whole = Synthetic.of(source, n=18, seed=0)
    assert (whole.counts(), set(whole.labels["all"])) == ({"all": 18}, set(KINDS))
    first, *others = KINDS
    assert set(Synthetic.of(source, n=18, seed=0, without=(first,)).labels["all"]) == set(others)
