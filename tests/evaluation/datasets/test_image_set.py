"""Image sets: parts share images, draws are seeded and stratified, groups stay together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.datasets import ImageSet, image_set
from evaluation.datasets.cifar10 import Stack
from guard.errors import InvalidInputError

PIXELS = np.random.default_rng(0).integers(0, 256, (300, 8, 10, 3), dtype=np.uint8)


def make(labels: list[int], groups: list[int] | None = None) -> ImageSet:
    whole = image_set("shapes", "train", Stack(PIXELS[: len(labels)]), np.array(labels, np.int64), classes=("a", "b", "c"))
    return whole.grouped(None if groups is None else np.array(groups))


def test_pixels_are_the_centre_square_at_the_asked_size() -> None:
    whole = make([0, 1, 2])
    np.testing.assert_array_equal(whole.pixels(8), PIXELS[:3, :, 1:9])
    assert whole.pixels(5).shape == (3, 5, 5, 3)
    assert whole.take(slice(0, 0)).pixels(5).shape == (0, 5, 5, 3)


def test_batches_are_in_order_and_progress_ends_at_the_whole() -> None:
    whole, heard = make([0] * 300), []
    np.testing.assert_array_equal(whole.pixels(8, progress=lambda done, total: heard.append((done, total))), PIXELS[:, :, 1:9])
    assert heard == [(256, 300), (300, 300)]
    assert [len(b) for b in whole.batches(4, 128)] == [128, 128, 44]


def test_decoded_array_travels_as_lossless_bytes() -> None:
    from guard.images import decode

    np.testing.assert_array_equal(decode(make([0, 1]).encoded(1)), PIXELS[1])


def test_part_keeps_labels_with_their_images() -> None:
    part = make([0, 1, 2, 1]).of_classes(frozenset({1})).take(np.array([1, 0]))
    assert part.labels.tolist() == [1, 1]
    np.testing.assert_array_equal(part.image(0), PIXELS[3])
    assert part.counts.tolist() == [0, 2, 0]


def test_sample_is_stratified_and_seeded() -> None:
    whole = make([0] * 150 + [1] * 90 + [2] * 60)
    part = whole.sample(100, seed=3)
    assert part.counts.tolist() == [50, 30, 20]
    np.testing.assert_array_equal(part.rows, whole.sample(100, seed=3).rows)
    assert (part.rows != whole.sample(100, seed=4).rows).any()
    assert len(set(part.rows.tolist())) == 100


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.integers(0, 70))
def test_sample_has_as_many_as_asked_or_all(labels: list[int], n: int) -> None:
    assert len(make(labels).sample(n, seed=0)) == min(n, len(labels))


def test_per_class_takes_what_there_is() -> None:
    assert make([0] * 10 + [1] * 2).per_class(5, seed=0).counts.tolist() == [5, 2, 0]


def test_balanced_repeats_rare_classes_and_loses_no_image() -> None:
    whole = make([0] * 10 + [1] * 3)
    part = whole.balanced(seed=0)
    assert part.counts.tolist() == [10, 10, 0]
    assert set(part.rows.tolist()) == set(range(13))


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20)), min_size=1, max_size=80),
    st.lists(st.floats(0.05, 0.33), min_size=1, max_size=3),
    st.integers(0, 5),
)
def test_division_puts_no_group_and_no_image_on_two_sides(items: list[tuple[int, int]], shares: list[float], seed: int) -> None:
    whole = make([label for label, _ in items], [group for _, group in items])
    parts = list(whole.divide({str(i): share for i, share in enumerate(shares)}, seed=seed).values())
    groups = [set(p.groups.tolist()) for p in parts]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert sum(map(len, parts)) == len(set().union(*(p.rows.tolist() for p in parts)))


def test_division_keeps_shares_in_every_class_and_places_everything() -> None:
    parts = make([0] * 200 + [1] * 100).divide({"victim": 0.5, "detector": 0.3, "test": 0.2}, seed=1)
    assert {name: part.counts.tolist() for name, part in parts.items()} == {
        "victim": [100, 50, 0],
        "detector": [60, 30, 0],
        "test": [40, 20, 0],
    }


def test_class_of_one_group_falls_to_each_side_by_its_share() -> None:
    whole = make([0] * 4, [7] * 4)
    first = sum(len(whole.divide({"a": 0.7, "b": 0.3}, seed=seed)["a"]) == 4 for seed in range(400))
    assert 240 <= first <= 320  # binomial(400, .7): outside of this in less than one of 10,000 runs


@pytest.mark.parametrize("shares", [{"a": 0.8, "b": 0.3}, {"a": 0.0}, {"a": -0.1, "b": 0.5}])
def test_shares_that_cannot_be_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match="at most 1"):
        make([0, 1]).divide(shares, seed=0)


@pytest.mark.parametrize("label", [3, -2])
def test_label_without_a_class_is_refused(label: int) -> None:
    with pytest.raises(InvalidInputError, match="0 to 2"):
        make([0, label])
