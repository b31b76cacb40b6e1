"""The demo's images: balanced, disjoint, drawn by a seed, and a missing package is said to be missing."""

import numpy as np
import pytest

from evaluation import satellite
from evaluation.installed import installed_files
from evaluation.photographs import (
    ADVERSARY_VARIETY,
    DETECTOR_VARIETY,
    adversary_photographs,
    crops,
    detector_photographs,
    small_photographs,
)
from evaluation.satellite import ZONES, load_satellite
from guard.errors import ConfigError, InvalidInputError


@pytest.fixture(scope="module")
def earth():
    return satellite._read_map()


@pytest.fixture(scope="module")
def corners(earth):
    return satellite._corners(earth, np.random.default_rng(3))


@pytest.fixture(scope="module")
def splits():
    return load_satellite(seed=3, max_per_zone=20)


def test_patches_to_learn_from_are_balanced(splits):
    for part, each in ((splits.victim, 20), (splits.detector, 40)):
        assert part.pixels.shape == (5 * each, 28, 28, 3)
        assert part.pixels.dtype == np.uint8
        assert np.bincount(part.labels).tolist() == [each] * len(ZONES)


def test_no_pixel_of_the_earth_is_in_two_splits(earth, corners):
    owner = np.zeros(earth.picture.shape[1], dtype=int)
    for number, rows in enumerate(corners.values(), start=1):
        for left in np.unique(rows[:, 1]):
            columns = owner[left : left + satellite.SOURCE]
            assert set(columns) <= {0, number}
            columns[:] = number
    assert (owner == 0).any()
    assert len(np.flatnonzero(np.diff(owner))) > 100


@pytest.mark.parametrize("split", ["calibration", "test"])
def test_patches_that_are_counted_share_no_pixel(earth, corners, split):
    taken = np.zeros(earth.picture.shape[:2], dtype=bool)
    for top, left, _, _ in corners[split]:
        patch = taken[top : top + satellite.SOURCE, left : left + satellite.SOURCE]
        assert not patch.any()
        patch[:] = True


def test_counted_patches_are_many_from_many_places_and_of_every_zone(splits):
    for part in (splits.calibration, splits.test):
        assert len(part) == len(part.strips) == len(part.labels) > 350
        assert len(set(part.strips)) > 15
        assert np.bincount(part.labels, minlength=len(ZONES)).min() > 5


def test_no_patch_holds_ocean_and_each_is_mostly_one_zone(earth, corners):
    for rows in corners.values():
        shares = np.stack([earth.share(np.array([top]), left)[0] for top, left, _, _ in rows[:200]])
        assert (shares[:, -1] == 0).all()
        assert (shares[np.arange(len(shares)), rows[:200, 2]] >= 0.9).all()


def test_zones_are_where_geography_has_them(earth):
    height, width = earth.picture.shape[:2]
    places = {"desert": (23, 10), "tropical": (-3, -65), "continental": (62, 100), "polar": (75, -40), "steppe": (50, 75)}
    for zone, (latitude, longitude) in places.items():
        top, left = int((90 - latitude) / 180 * height), int((longitude + 180) / 360 * width)
        share = earth.share(np.array([top]), left)[0]
        assert ZONES[int(share.argmax())] == zone


def test_same_seed_same_patches_other_seed_other_places(earth, splits):
    again = load_satellite(seed=3, max_per_zone=20)
    np.testing.assert_array_equal(again.victim.pixels, splits.victim.pixels)
    here, there = (satellite._corners(earth, np.random.default_rng(seed))["test"][:, 1] for seed in (3, 4))
    assert set(here) != set(there)


def test_nonsense_sizes_are_refused():
    with pytest.raises(InvalidInputError, match="max_per_zone is 0"):
        load_satellite(seed=0, max_per_zone=0)


def test_the_two_pools_share_no_photograph():
    ours, theirs = [*detector_photographs(), *small_photographs()], adversary_photographs()
    assert (len(ours), len(theirs)) == (36, 40)
    assert not {p.tobytes() for p in ours} & {p.tobytes() for p in theirs}


@pytest.mark.parametrize("variety", [DETECTOR_VARIETY, ADVERSARY_VARIETY])
def test_crops_depend_on_their_seed_alone(variety):
    photographs = detector_photographs()
    first, again, other = (crops(photographs, 20, variety=variety, seed=seed) for seed in (1, 1, 2))
    assert first.shape == (20, 28, 28, 3)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert crops(photographs, 0, variety=variety, seed=1).shape == (0, 28, 28, 3)


def test_no_photograph_no_crops():
    with pytest.raises(InvalidInputError, match="no photograph"):
        crops([], 3, variety=ADVERSARY_VARIETY, seed=0)


def test_a_missing_package_is_named_with_the_command_that_installs_it():
    with pytest.raises(ConfigError, match=r"basemap-earth.*pip install 'knockguard\[demo\]'"):
        installed_files("basemap-earth", ".jpg")
    with pytest.raises(ConfigError, match=r"without its \.nothing"):
        installed_files("numpy", ".nothing")
