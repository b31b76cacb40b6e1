"""From folders and Parquet files to images split for fitting, calibration and test.

The same bytes never stand on two sides: a picture's side is drawn from its own hash, so copies go together and adding images
moves none of the old ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from guard.errors import InvalidInputError
from guard.images import decode, read
from guard.types import Pixels, Reporter

MIN_FIT = 50
MIN_CLASSES = 4


@dataclass(frozen=True, slots=True)
class Split:
    """Share of images by side. With `classes`, and at least four of them, whole classes are split instead of single images."""

    shares: Mapping[str, float]
    classes: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """The model's (height, width), the most images read from one source (drawn by their hashes), and the split's seed."""

    size: tuple[int, int]
    limit: int
    seed: int


IN_SPLIT = Split({"fit": 0.5, "calibration": 0.3, "test": 0.2}, classes=False)
OUT_SPLIT = Split({"fit": 0.7, "test": 0.3}, classes=True)


@dataclass(frozen=True, slots=True)
class Pool:
    """Images by side. `by_class` tells whether whole classes stand on one side, so that test classes are new to the detector."""

    sides: dict[str, list[Pixels]]
    by_class: bool

    def counts(self) -> dict[str, int]:
        """Return how many images each side has."""
        return {side: len(images) for side, images in self.sides.items()}


def load_pool(source: Path, split: Split, reading: Reading, *, progress: Reporter) -> Pool:
    """Read, decode and split images; InvalidInputError if there are too few to fit anything, or one cannot be read.

    Pictures far larger than the model's are halved until they are not, to bound memory; the matched chain reduces them further.
    """
    shares, seed = split.shares, reading.seed
    unique = {sha256(item.content).digest(): item for item in read(source)}
    chosen = dict(sorted(unique.items())[: reading.limit])
    classes = sorted({item.label for item in chosen.values() if item.label is not None})
    by_class = split.classes and len(classes) >= MIN_CLASSES
    ranks = {c: (i + 0.5) / len(classes) for i, c in enumerate(sorted(classes, key=lambda c: _position(c.encode(), seed)))}
    sides: dict[str, list[Pixels]] = {side: [] for side in shares}
    for done, (digest, item) in enumerate(chosen.items(), 1):
        position = ranks[item.label] if by_class and item.label is not None else _position(digest, seed)
        sides[_side(position, shares)].append(_bounded(decode(item.content, name=item.name), reading.size))
        progress(done, len(chosen))
    for side, images in sides.items():
        least = MIN_FIT if side == "fit" else 1
        if len(images) < least:
            raise InvalidInputError(
                f"{source}: {len(images)} different images fell to {side!r}, at least {least} are needed; "
                f"there are {len(chosen)} in all, give more"
            )
    return Pool(sides, by_class)


def _bounded(image: Pixels, size: tuple[int, int]) -> Pixels:
    while min(image.shape[:2]) >= 4 * max(size):
        image = np.asarray(Image.fromarray(image).reduce(2))
    return image


def _position(what: bytes, seed: int) -> float:
    """Return where in [0, 1) something falls, the same on every machine."""
    return float(int.from_bytes(sha256(seed.to_bytes(8, "little") + what).digest()[:8], "little") / 2**64)


def _side(position: float, shares: Mapping[str, float]) -> str:
    ends = np.cumsum(list(shares.values()))
    return list(shares)[min(int(np.searchsorted(ends, position, side="right")), len(shares) - 1)]
