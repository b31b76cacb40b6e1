"""Out images without a public pool: mixtures of the user's own images, and what generators draw, in the colours of the own ones.

None of these is an image that an adversary would send. They stand in for a real pool when there is none, and tell a detector
what the victim's own kind is by what it is not: the same pixels in another order, or the same colours without the content. Nine
kinds, so that whole kinds can be kept for the test. Sources: mixup (Zhang et al. 2018), CutMix (Yun et al. 2019), dead leaves and
spectra of natural images as material to learn from (Baradad et al. 2021), fractals by iterated functions (Kataoka et al. 2020).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guard.types import Pixels

Generator = np.random.Generator
Field = NDArray[Any]  # (side, side, 3), of any floating kind
_Make = Callable[[Pixels, Generator], Field]


def make(kind: str, own: Pixels, rng: Generator) -> Pixels:
    """Return one (side, side, 3) uint8 image of a kind from own images (n, side, side, 3), n at least 1."""
    return np.asarray(KINDS[kind](own, rng).clip(0, 255).astype(np.uint8))


def _one(own: Pixels, rng: Generator) -> Field:
    return np.asarray(own[rng.integers(len(own))], np.float32)


def _two(own: Pixels, rng: Generator) -> tuple[Field, Field]:
    """Two different images; of one alone it and itself upside down."""
    if len(own) == 1:
        return _one(own, rng), _one(own, rng)[::-1]
    first, second = rng.choice(len(own), 2, replace=False)
    return np.asarray(own[first], np.float32), np.asarray(own[second], np.float32)


def _blended(own: Pixels, rng: Generator) -> Field:
    """Two images, each seen through the other."""
    share = np.float32(rng.uniform(0.35, 0.65))
    first, second = _two(own, rng)
    return np.asarray(share * first + (1 - share) * second)


def _cut(own: Pixels, rng: Generator) -> Field:
    """A window of one image in another; a third to two thirds of the side."""
    (image, other), side = _two(own, rng), own.shape[1]
    height, width = rng.integers(side // 3, 2 * side // 3 + 1, 2)
    top, left = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
    image[top : top + height, left : left + width] = other[top : top + height, left : left + width]
    return image


def _tiles(images: list[Field], n: int, rng: Generator) -> Field:
    """n x n tiles, each from the next image and turned; what does not divide is left at the border."""
    result, side = images[0].copy(), images[0].shape[0] // n
    places = [(i * side, j * side) for i in range(n) for j in range(n)]
    for index, ((top, left), source) in enumerate(zip(places, rng.permutation(len(places)), strict=True)):
        y, x = places[source]
        tile = images[index % len(images)][y : y + side, x : x + side]
        result[top : top + side, left : left + side] = np.rot90(tile, int(rng.integers(4)))
    return result


def _shuffled(own: Pixels, rng: Generator) -> Field:
    """One image's patches in another order."""
    return _tiles([_one(own, rng)], int(rng.integers(2, 5)), rng)


def _collage(own: Pixels, rng: Generator) -> Field:
    """Patches of as many images."""
    n = int(rng.integers(2, 5))
    return _tiles([_one(own, rng) for _ in range(n * n)], n, rng)


def _recoloured(own: Pixels, rng: Generator) -> Field:
    """One image upside down, its channels in another order and each perhaps turned to its negative."""
    image = _one(own, rng)[::-1, :, rng.permutation(3)]
    negative = rng.random(3) < 0.5
    return np.where(negative, 255 - image, image)


def _coloured(field: Field, own: Pixels, rng: Generator) -> Field:
    """Give a (side, side, 3) field the mean and deviation that an own image has in each channel."""
    image = _one(own, rng)
    field = (field - field.mean(axis=(0, 1))) / np.maximum(field.std(axis=(0, 1)), 1e-6)
    return np.asarray(field * image.std(axis=(0, 1)) + image.mean(axis=(0, 1)))


def _clouds(own: Pixels, rng: Generator) -> Field:
    """Noise whose spectrum falls as natural images' do, by a power drawn anew; channels share most of it."""
    side = own.shape[1]
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    radius[0, 0] = 1.0
    noise = rng.normal(size=(side, side, 1)) + 0.5 * rng.normal(size=(side, side, 3))
    spectrum = np.fft.fft2(noise, axes=(0, 1)) * radius[..., None] ** -rng.uniform(0.8, 2.2)
    return _coloured(np.fft.ifft2(spectrum, axes=(0, 1)).real, own, rng)


def _fractal(own: Pixels, rng: Generator) -> Field:
    """Where a point lands that is thrown about by a few affine maps, a map a colour, on a ground of clouds."""
    side, n_maps, n_points, n_steps = own.shape[1], int(rng.integers(2, 5)), 400, 40
    maps = rng.uniform(-1, 1, (n_maps, 2, 2))
    maps *= (rng.uniform(0.5, 0.85, n_maps) / np.linalg.norm(maps, ord=2, axis=(1, 2)))[:, None, None]
    shifts = rng.uniform(-1, 1, (n_maps, 2))
    points, hits = rng.uniform(-1, 1, (n_points, 2)), np.zeros((side, side, n_maps))
    for step in range(n_steps):
        chosen = rng.integers(0, n_maps, n_points)
        points = np.einsum("nij,nj->ni", maps[chosen], points) + shifts[chosen]
        if step > 8:  # by then they are on it
            low, high = points.min(axis=0), points.max(axis=0)
            y, x = ((points - low) / np.maximum(high - low, 1e-6) * (side - 1)).astype(int).T
            np.add.at(hits, (y, x, chosen), 1)
    colours = own[rng.integers(len(own))].reshape(-1, 3)[rng.integers(0, side * side, n_maps)].astype(float)
    weight = np.minimum(hits, 3) / 3
    covered = np.minimum(weight.sum(axis=2, keepdims=True), 1)
    return np.asarray((1 - covered) * _clouds(own, rng) + weight @ colours / np.maximum(weight.sum(axis=2, keepdims=True), 1))


def _gratings(own: Pixels, rng: Generator) -> Field:
    """Waves of a few directions and lengths over each other, a mixture a channel."""
    side = own.shape[1]
    y, x = np.mgrid[:side, :side]
    waves = []
    for _ in range(int(rng.integers(1, 5))):
        angle, length = rng.uniform(0, np.pi), rng.uniform(3, side / 2)
        wave = np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / length + rng.uniform(0, 2 * np.pi))
        waves.append(np.sign(wave) if rng.random() < 0.3 else wave)
    return _coloured(np.stack(waves, axis=2) @ rng.normal(size=(len(waves), 3)), own, rng)


def _leaves(own: Pixels, rng: Generator) -> Field:
    """Ellipses that cover each other, of sizes as things have them, in an own image's colours."""
    side = own.shape[1]
    y, x = np.mgrid[:side, :side]
    colours = own[rng.integers(len(own))].reshape(-1, 3).astype(float)
    image = np.broadcast_to(colours[rng.integers(len(colours))], (side, side, 3)).copy()
    for _ in range(int(rng.integers(12, 40))):
        radius = min(side / 2, side * 0.06 / max(rng.random(), 1e-3) ** 0.7)
        centre, angle, flat = rng.uniform(0, side, 2), rng.uniform(0, np.pi), rng.uniform(0.4, 1.0)
        u = (x - centre[1]) * np.cos(angle) + (y - centre[0]) * np.sin(angle)
        v = (y - centre[0]) * np.cos(angle) - (x - centre[1]) * np.sin(angle)
        image[u**2 + (v / flat) ** 2 < radius**2] = colours[rng.integers(len(colours))]
    return image + rng.normal(0, 4, image.shape)


KINDS: Mapping[str, _Make] = {
    "blended": _blended,
    "cut": _cut,
    "shuffled": _shuffled,
    "collage": _collage,
    "recoloured": _recoloured,
    "clouds": _clouds,
    "fractal": _fractal,
    "gratings": _gratings,
    "leaves": _leaves,
}
