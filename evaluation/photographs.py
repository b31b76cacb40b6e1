"""The demo's out pools: crops of photographs that install with other packages.

The detector learns from scikit-image's and scikit-learn's photographs, 16 of them, and from foolbox's 20 small ones out of
CIFAR-10; the adversary asks with foolbox's 20 from ImageNet and 20 small ones out of CIFAR-100. No photograph is in both. Crops
of so few pictures are not thousands of pictures: what is measured on them has fewer independent cases than its n says, and
intervals are those of 40.

History of every image, in and out: 32 pixels, which its maker reduced or this file (a crop of at least twice the side,
antialiased), reduced to 28 together, then one JPEG step at a quality drawn from the same range. At 32 pixels photographs still
hold finer texture than the Earth from far above, and statistics that know nothing of content (`evaluation.lowlevel`) flag more of
them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from evaluation.installed import installed_files, picture
from evaluation.satellite import SIDE, SOURCE, finish
from guard.errors import InvalidInputError
from guard.types import Pixels

_ENDINGS = (".jpg", ".png")
# Drawings, pages of text, masks, and the second view of a stereo pair: no photographs of their own.
_NOT_PHOTOGRAPHS = frozenset(
    {"cell", "chessboard_GRAY", "chessboard_RGB", "clock_motion", "color", "horse"}
    | {"logo", "microaneurysms", "motorcycle_right", "page", "phantom", "text"}
)


@dataclass(frozen=True, slots=True)
class Variety:
    """How much crops differ from their photograph.

    `min_crop`: least side of a crop in pixels of the photograph, the largest being all of it, evenly in the logarithm.
    `colour`: largest relative change of saturation, contrast and brightness, and half as much of each channel's gain.
    `hue`: share of crops whose hues are turned, by any angle. `joined`: share made of two crops, cut along a line or a
    circle, or blended.
    """

    min_crop: int
    colour: float
    hue: float = 0.0
    joined: float = 0.0


# The detector has few photographs and must expect any: wide changes of colour, and joints, keep it from learning these sixteen.
DETECTOR_VARIETY = Variety(min_crop=64, colour=0.4, hue=0.7, joined=0.6)
PLAIN_VARIETY = Variety(min_crop=64, colour=0.2)
ADVERSARY_VARIETY = Variety(min_crop=128, colour=0.2)


def detector_photographs() -> list[Pixels]:
    """Return the photographs that detectors are fitted on, (height, width, 3) uint8 each; ConfigError if a package is missing."""
    found = [*installed_files("scikit-image", *_ENDINGS), *installed_files("scikit-learn", *_ENDINGS)]
    return [picture(path) for path in found if _is_photograph(path)]


def small_photographs() -> list[Pixels]:
    """Return more photographs for detectors, (32, 32, 3) uint8 each; ConfigError if foolbox is missing."""
    return _foolbox("cifar10_")


def adversary_photographs() -> list[Pixels]:
    """Return the photographs that an adversary asks with, every other one small; ConfigError if foolbox is missing."""
    pairs = zip(_foolbox("imagenet_"), _foolbox("cifar100_"), strict=True)
    return [photograph for pair in pairs for photograph in pair]


def _foolbox(prefix: str) -> list[Pixels]:
    return [picture(path) for path in installed_files("foolbox", *_ENDINGS) if path.name.startswith(prefix)]


def crops(photographs: list[Pixels], n: int, *, variety: Variety, seed: int | list[int]) -> Pixels:
    """Return (n, 28, 28, 3) uint8, image i from photograph i modulo their number; the same arguments give the same crops.

    InvalidInputError without a photograph.
    """
    if not photographs:
        raise InvalidInputError("no photograph to cut crops from; give one at least")
    rng = np.random.default_rng(seed)
    rows = [_crop(photographs, i % len(photographs), variety, rng) for i in range(n)]
    return np.stack(rows) if rows else np.empty((0, SIDE, SIDE, 3), np.uint8)


def _is_photograph(path: Path) -> bool:
    return path.parent.name in ("data", "images") and path.stem not in _NOT_PHOTOGRAPHS


def _crop(photographs: list[Pixels], index: int, variety: Variety, rng: np.random.Generator) -> Pixels:
    image = _cut(photographs[index], variety, rng)
    if rng.random() < variety.joined:
        image = _join(image, _cut(photographs[rng.integers(len(photographs))], variety, rng), rng)
    image = _recolour(image, variety.colour, rng)
    return finish(image, rng)


def _cut(photograph: Pixels, variety: Variety, rng: np.random.Generator) -> Pixels:
    """A square of the photograph, reduced and antialiased, mirrored every other time, its hue turned if the variety says so."""
    height, width = photograph.shape[:2]
    largest = min(height, width)
    side = int(np.exp(rng.uniform(np.log(min(variety.min_crop, largest)), np.log(largest))))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    square = Image.fromarray(photograph[top : top + side, left : left + side])
    reduced = square.resize((SOURCE, SOURCE), Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        reduced = reduced.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _turn_hue(reduced, rng) if rng.random() < variety.hue else np.asarray(reduced)


def _turn_hue(image: Image.Image, rng: np.random.Generator) -> Pixels:
    hsv = np.array(image.convert("HSV"))
    hsv[..., 0] += rng.integers(256, dtype=np.uint8)  # a circle of 256 steps: uint8 wraps as it should
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.6, 1.8), 0, 255)
    return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))


def _join(first: Pixels, second: Pixels, rng: np.random.Generator) -> Pixels:
    """Two crops in one image: either side of a line, inside and outside a circle, or blended."""
    down, right = np.mgrid[:SOURCE, :SOURCE]
    kind = rng.integers(3)
    if kind == 0:
        angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-SOURCE / 4, SOURCE / 4)
        share = (np.cos(angle) * (right - SOURCE / 2) + np.sin(angle) * (down - SOURCE / 2) > offset).astype(np.float64)
    elif kind == 1:
        centre, radius = rng.uniform(0, SOURCE, 2), rng.uniform(SOURCE / 5, SOURCE / 2)
        share = (np.hypot(right - centre[0], down - centre[1]) < radius).astype(np.float64)
    else:
        share = np.full((SOURCE, SOURCE), rng.uniform(0.3, 0.7))
    joined: Pixels = (first * share[..., None] + second * (1 - share[..., None])).astype(np.uint8)
    return joined


def _recolour(image: Pixels, most: float, rng: np.random.Generator) -> Pixels:
    saturation, contrast, brightness = rng.uniform(1 - most, 1 + most, 3)
    gain = brightness * rng.uniform(1 - most / 2, 1 + most / 2, 3)
    levels = image.astype(np.float64)
    grey = levels.mean(axis=2, keepdims=True)
    levels = grey + saturation * (levels - grey)
    mean = levels.mean()
    changed: Pixels = np.clip((mean + contrast * (levels - mean)) * gain, 0, 255).astype(np.uint8)
    return changed
