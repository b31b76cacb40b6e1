"""Distances: in units of the in images' own, nearest class first, and never nearer for having been seen."""

from itertools import pairwise

import numpy as np
import pytest

from evaluation.distance import by_distance, distances
from guard.errors import InvalidInputError

RNG = np.random.default_rng(0)


def test_out_image_at_a_class_is_near_and_one_between_them_is_far() -> None:
    means = np.array([[0.0] * 8, [20.0] * 8])
    top = np.repeat([0, 1], 200)
    inside = (means[top] + RNG.normal(size=(400, 8))).astype(np.float32)
    near, far = distances(inside, top, np.array([[0.0] * 8, [20.0] * 8, [10.0] * 8, [-40.0] * 8], np.float32))
    assert np.median(near) == pytest.approx(1.0)
    assert far[0] < 0.2
    assert far[1] < 0.2
    assert far[2] == pytest.approx(10, rel=0.1)
    assert far[3] == pytest.approx(40, rel=0.1)


def test_features_of_another_unit_count_alike() -> None:
    top = np.repeat([0, 1], 50)
    inside, outside = RNG.normal(size=(100, 4)).astype(np.float32), RNG.normal(size=(30, 4)).astype(np.float32)
    scale = np.array([1, 1000, 0.001, 1], np.float32)
    plain, scaled = distances(inside, top, outside), distances(inside * scale, top, outside * scale)
    for a, b in zip(plain, scaled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2)


def test_in_image_is_no_nearer_than_one_of_its_kind_that_was_not_there() -> None:
    """Three images a class: a mean that holds the image itself would lie 1.5 times as near."""
    gaps = []
    for _ in range(40):
        top = np.repeat(np.arange(30), 3)
        centres = RNG.normal(0, 30, (30, 16))
        inside, fresh = (centres[top] + RNG.normal(size=(90, 16)) for _ in range(2))
        near, far = distances(inside.astype(np.float32), top, fresh.astype(np.float32))
        gaps.append(np.median(far) / np.median(near))
    assert np.mean(gaps) == pytest.approx(1.0, abs=0.05)


def test_classes_of_one_image_are_left_out_and_none_is_refused() -> None:
    inside = RNG.normal(size=(5, 3)).astype(np.float32)
    near, far = distances(inside, np.array([0, 0, 0, 1, 2]), inside[:2])
    assert (len(near), len(far)) == (3, 2)
    with pytest.raises(InvalidInputError, match="no two of any class"):
        distances(inside, np.arange(5), inside)


def test_fifths_go_from_near_to_far_and_hold_every_image_once() -> None:
    distance = RNG.permutation(np.arange(103)).astype(np.float32)
    bins = by_distance(distance, distance > 50)
    assert [b.flagged.n for b in bins] == [21, 21, 21, 20, 20]
    assert [b.flagged.count for b in bins] == [0, 0, 12, 20, 20]
    assert all(a.high < b.low for a, b in pairwise(bins))
    assert by_distance(distance[:4], distance[:4] > 0) == ()
