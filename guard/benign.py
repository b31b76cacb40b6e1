"""What happens to honest images on their way: re-encodings that make no customer an adversary.

Each takes and returns one (h, w, 3) uint8 image of the same size, and nothing is random. A detector that flags these flags
customers.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from guard.images import reencode
from guard.types import Pixels

Transform = Callable[[Pixels], Pixels]


def _jpeg(pixels: Pixels, quality: int) -> Pixels:
    return reencode(pixels, quality=quality)


def _resized(pixels: Pixels, factor: float) -> Pixels:
    """Another resolution and back, as a thumbnail service or a browser's zoom does."""
    image = Image.fromarray(pixels)
    other = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    back = image.resize(other, Image.Resampling.BILINEAR).resize(image.size, Image.Resampling.BILINEAR)
    return np.asarray(back)


def _blurred(pixels: Pixels, radius: float) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def _cropped(pixels: Pixels, share: float) -> Pixels:
    """The middle, enlarged to the whole."""
    image = Image.fromarray(pixels)
    dx, dy = image.width * (1 - share) / 2, image.height * (1 - share) / 2
    box = (dx, dy, image.width - dx, image.height - dy)
    return np.asarray(image.resize(image.size, Image.Resampling.BILINEAR, box=box))


def _brightened(pixels: Pixels, factor: float) -> Pixels:
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(pixels)).enhance(factor))


def _grey(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


def _screenshot(pixels: Pixels) -> Pixels:
    """Shown enlarged on a screen by the nearest pixel, captured, and reduced by whoever uploads it."""
    image = Image.fromarray(pixels)
    shown = image.resize((int(image.width * 2.4), int(image.height * 2.4)), Image.Resampling.NEAREST)
    return np.asarray(shown.resize(image.size, Image.Resampling.BICUBIC))


BENIGN: Mapping[str, Transform] = {
    "as sent": lambda pixels: pixels,
    "JPEG 95": partial(_jpeg, quality=95),
    "JPEG 75": partial(_jpeg, quality=75),
    "JPEG 40": partial(_jpeg, quality=40),
    "half the size and back": partial(_resized, factor=0.5),
    "1.5 times the size and back": partial(_resized, factor=1.5),
    "blur of 1 pixel": partial(_blurred, radius=1.0),
    "middle 80 %": partial(_cropped, share=0.8),
    "brighter by 20 %": partial(_brightened, factor=1.2),
    "darker by 20 %": partial(_brightened, factor=0.8),
    "grey": _grey,
    "screenshot": _screenshot,
}


def benign(name: str, images: Pixels) -> Pixels:
    """Return (n, h, w, 3) images after the re-encoding of that name; `n` may be 0."""
    transform = BENIGN[name]
    return np.stack([transform(image) for image in images]) if len(images) else images.copy()
