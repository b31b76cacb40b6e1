"""Masquerades: public images dressed up as the victim's own kind, by an adversary who has a few hundred of those.

Each takes out images (n, h, w, 3) uint8, in images (m, h, w, 3) uint8 of the same size that no detector was fitted or tested on,
and a generator, and returns n images. None asks the victim or sees a score; `evaluation.evasion` does.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from evaluation.baseline import Traces
from evaluation.lookalikes import lookalikes
from guard.benign import benign
from guard.images import resize
from guard.types import Array, Floats, Pixels

Masquerade = Callable[[Pixels, Pixels, np.random.Generator], Pixels]
LOOKALIKES = "lookalikes alone"  # the one that is a choice among the queries
_FLAT = 1.0  # grey levels: a channel that deviates less is flat, and scaling it would amplify noise
_CORNER = 0.1  # of the spectrum's side: the coarse structure whose strength is taken over


def masquerade(name: str, outside: Pixels, inside: Pixels, *, seed: int) -> Pixels:
    """Return the out images after the masquerade of that name, one for each but where it is a choice among them."""
    return MASQUERADES[name](outside, inside, np.random.default_rng(seed))


def _as_sent(outside: Pixels, _inside: Pixels, _rng: np.random.Generator) -> Pixels:
    return outside.copy()


def _re_encoded(outside: Pixels, _inside: Pixels, _rng: np.random.Generator, *, transform: str) -> Pixels:
    return benign(transform, outside)


def _colours(outside: Pixels, inside: Pixels, rng: np.random.Generator) -> Pixels:
    """Mean and deviation of each channel from an in image (after Reinhard et al. 2001, in RGB)."""
    x, like = outside.astype(np.float32), _partners(outside, inside, rng)
    return _grey_levels((x - _mean(x)) / np.maximum(_deviation(x), _FLAT) * _deviation(like) + _mean(like))


def _spectrum(outside: Pixels, inside: Pixels, rng: np.random.Generator) -> Pixels:
    """Coarse amplitudes from an in image, phases kept: its light and palette over the query's shapes (Yang and Soatto 2020)."""
    x, like = (np.fft.fft2(images, axes=(1, 2)) for images in (outside.astype(np.float32), _partners(outside, inside, rng)))
    height, width = outside.shape[1:3]
    coarse = (np.abs(np.fft.fftfreq(height))[:, None] <= _CORNER) & (np.abs(np.fft.fftfreq(width))[None, :] <= _CORNER)
    strength = np.where(coarse[None, :, :, None], np.abs(like), np.abs(x))
    return _grey_levels(np.fft.ifft2(strength * np.exp(1j * np.angle(x)), axes=(1, 2)).real.astype(np.float32))


def _blend(outside: Pixels, inside: Pixels, rng: np.random.Generator, *, share: float) -> Pixels:
    """The given share of an in image laid over the query (as mixup, Zhang et al. 2018)."""
    return _grey_levels((1 - share) * outside.astype(np.float32) + share * _partners(outside, inside, rng))


def _patch(outside: Pixels, inside: Pixels, rng: np.random.Generator, *, share: float) -> Pixels:
    """A rectangle of an in image, `share` of the area, pasted into the query (as CutMix, Yun et al. 2019)."""
    made, like = outside.copy(), _partners(outside, inside, rng).astype(np.uint8)
    height, width = outside.shape[1:3]
    h, w = round(height * np.sqrt(share)), round(width * np.sqrt(share))
    for row, top, left in zip(
        range(len(made)), rng.integers(0, height - h + 1, len(made)), rng.integers(0, width - w + 1, len(made)), strict=True
    ):
        made[row, top : top + h, left : left + w] = like[row, top : top + h, left : left + w]
    return made


def _border(outside: Pixels, inside: Pixels, rng: np.random.Generator, *, side: float) -> Pixels:
    """The whole query, reduced to `side` of the image, in the middle of an in image."""
    made = _partners(outside, inside, rng).astype(np.uint8)
    height, width = outside.shape[1:3]
    h, w = round(height * side), round(width * side)
    top, left = (height - h) // 2, (width - w) // 2
    for row, image in enumerate(outside):
        made[row, top : top + h, left : left + w] = resize(image, (h, w))
    return made


def _chosen(outside: Pixels, inside: Pixels, rng: np.random.Generator) -> Pixels:
    """Only the queries that low-level statistics cannot tell from in images: fewer than came."""
    seed = int(rng.integers(2**31))
    return outside[lookalikes(Traces.of(inside, outside, seed=seed), seed=seed)]


MASQUERADES: Mapping[str, Masquerade] = {
    "as sent": _as_sent,
    "half the size and back": partial(_re_encoded, transform="half the size and back"),
    "JPEG 40": partial(_re_encoded, transform="JPEG 40"),
    "colours of an in image": _colours,
    "coarse spectrum of an in image": _spectrum,
    LOOKALIKES: _chosen,
    "30 % of an in image blended in": partial(_blend, share=0.3),
    "50 % of an in image blended in": partial(_blend, share=0.5),
    "70 % of an in image blended in": partial(_blend, share=0.7),
    "25 % of the area from an in image": partial(_patch, share=0.25),
    "50 % of the area from an in image": partial(_patch, share=0.5),
    "framed by an in image": partial(_border, side=0.7),
}


def _partners(outside: Pixels, inside: Pixels, rng: np.random.Generator) -> Floats:
    """An in image for each out image, drawn with replacement: (n, h, w, 3) float32."""
    return inside[rng.integers(len(inside), size=len(outside))].astype(np.float32)


def _mean(images: Floats) -> Floats:
    return np.asarray(images.mean(axis=(1, 2), keepdims=True))


def _deviation(images: Floats) -> Floats:
    return np.asarray(images.std(axis=(1, 2), keepdims=True))


def _grey_levels(images: Array) -> Pixels:
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)
