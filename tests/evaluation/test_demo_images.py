"""The demo's images: balanced, disjoint, drawn by a seed, and a missing package is said to be missing."""

import numpy as np
import pytest

from evaluation import satellite
from evaluation.installed import installed_files
from evaluation.photographs import ADVERSARY_VARIETY, DETECTOR_VARIETY, adversary_photographs, crops, detector_photographs
from evaluation.satellite import ZONES, load_satellite
from guard.errors import ConfigError, InvalidInputError


@pytest.fixture(scope="module")
def earth():
    return satellite._read_map()


@pytest.fixture(scope="module")
def splits():
    return load_satellite(seed=3, stride=16, max_per_zone=20)


def test_every_split_has_as_many_of_each_zone(splits):
    for part in (splits.victim, splits.detector, splits.calibration, splits.test):
        assert part.pixels.shape[1:] == (32, 32, 3)
        assert part.pixels.dtype == np.uint8
        assert len(set(np.bincount(part.labels, minlength=len(ZONES)))) == 1
        assert len(part) == len(part.pixels) > 0


def test_no_pixel_of_the_earth_is_in_two_splits(earth):
    owner = np.zeros(earth.picture.shape[1], dtype=int)
    for number, corners in enumerate(satellite._corners(earth, 8).values(), start=1):
        for left in np.unique(corners[:, 1]):
            columns = owner[left : left + satellite.SIDE]
            assert set(columns) <= {0, number}
            columns[:] = number
    borders = np.flatnonzero(np.diff(owner))
    assert (owner == 0).any()
    assert len(borders) > 100


def test_no_patch_holds_ocean_and_each_is_mostly_one_zone(earth):
    for corners in satellite._corners(earth, 16).values():
        shares = np.stack([earth.share(np.array([top]), left)[0] for top, left, _ in corners[:200]])
        assert (shares[:, -1] == 0).all()
        assert (shares[np.arange(len(shares)), corners[:200, 2]] >= 0.9).all()


def test_zones_are_where_geography_has_them(earth):
    height, width = earth.picture.shape[:2]
    places = {"desert": (23, 10), "tropical": (-3, -65), "continental": (62, 100), "polar": (75, -40), "steppe": (50, 75)}
    for zone, (latitude, longitude) in places.items():
        top, left = int((90 - latitude) / 180 * height), int((longitude + 180) / 360 * width)
        share = earth.share(np.array([top]), left)[0]
        assert ZONES[int(share.argmax())] == zone


def test_same_seed_same_patches_other_seed_others(splits):
    again, other = (load_satellite(seed=seed, stride=16, max_per_zone=20) for seed in (3, 4))
    np.testing.assert_array_equal(again.victim.pixels, splits.victim.pixels)
    assert (other.victim.pixels != splits.victim.pixels).any()


def test_nonsense_strides_are_refused():
    with pytest.raises(InvalidInputError, match="stride is 0"):
        load_satellite(seed=0, stride=0)


def test_the_two_pools_share_no_photograph():
    ours, theirs = detector_photographs(), adversary_photographs()
    assert (len(ours), len(theirs)) == (16, 20)
    assert not {p.tobytes() for p in ours} & {p.tobytes() for p in theirs}


@pytest.mark.parametrize("variety", [DETECTOR_VARIETY, ADVERSARY_VARIETY])
def test_crops_depend_on_their_seed_alone(variety):
    photographs = detector_photographs()
    first, again, other = (crops(photographs, 20, variety=variety, seed=seed) for seed in (1, 1, 2))
    assert first.shape == (20, 32, 32, 3)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert crops(photographs, 0, variety=variety, seed=1).shape == (0, 32, 32, 3)


def test_no_photograph_no_crops():
    with pytest.raises(InvalidInputError, match="no photograph"):
        crops([], 3, variety=ADVERSARY_VARIETY, seed=0)


def test_a_missing_package_is_named_with_the_command_that_installs_it():
    with pytest.raises(ConfigError, match=r"basemap-earth.*pip install 'knockguard\[demo\]'"):
        installed_files("basemap-earth", ".jpg")
    with pytest.raises(ConfigError, match=r"without its \.nothing"):
        installed_files("numpy", ".nothing")
