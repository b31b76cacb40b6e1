"""A common history: images of two sources are brought to one resolution by one filter and one codec, before any chain.

Which filter reduced an image shows for good: of two sets at 32 pixels, one made with a triangle and one with a box, statistics
that know nothing of content tell one from the other at once, however alike what they show. A matched chain must undo that first.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from PIL import Image, UnidentifiedImageError

from guard.images import cropped, reencode
from guard.types import Pixels

# Annex K of the JPEG standard: luminance at quality 50, from which libjpeg scales all others.
_LUMINANCE = np.array(
    [
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87,
        80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92,
        95, 98, 112, 100, 103, 99,
    ]
)  # fmt: skip


class Kernel(StrEnum):
    """How pixels are averaged when an image shrinks; each is antialiased."""

    BILINEAR = "bilinear"
    HAMMING = "hamming"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"
    BOX = "box"


_RESAMPLING = {
    Kernel.BILINEAR: Image.Resampling.BILINEAR,
    Kernel.HAMMING: Image.Resampling.HAMMING,
    Kernel.BICUBIC: Image.Resampling.BICUBIC,
    Kernel.LANCZOS: Image.Resampling.LANCZOS,
    Kernel.BOX: Image.Resampling.BOX,
}


@dataclass(frozen=True, slots=True)
class History:
    """Images larger than `side` are reduced to it by `kernel` and go through JPEG at `quality`; None leaves the codec out.

    An image whose shorter side has `side` pixels or fewer has that history already, so it is only cut to `shape`, a height and a
    width whose ratio counts: the model's, so that what is cut away is what is cut away where it is served.
    """

    side: int
    kernel: Kernel = Kernel.BILINEAR
    quality: int | None = None
    shape: tuple[int, int] = (1, 1)

    def apply(self, images: Iterable[Pixels]) -> list[Pixels]:
        """Return one image of that history for each (h, w, 3) image, none of which is changed in place."""
        return [self.one(image) for image in images]

    def one(self, image: Pixels) -> Pixels:
        """Return an image whose shorter side has at most `side` pixels."""
        image = cropped(image, self.shape)
        if min(image.shape[:2]) <= self.side:
            return image
        height, width = (round(self.side * length / min(self.shape)) for length in self.shape)
        reduced = np.asarray(Image.fromarray(image).resize((width, height), _RESAMPLING[self.kernel]))
        return reduced if self.quality is None else reencode(reduced, quality=self.quality)


def jpeg_quality(content: bytes) -> int | None:
    """Return the quality, 1 to 100, whose standard luminance table is nearest to a file's; None if it is no JPEG.

    Only the header is read. An encoder with tables of its own gets the number that comes nearest.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
            table = np.sort(np.asarray(next(iter(getattr(image, "quantization").values())), np.float64))  # noqa: B009
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, StopIteration):
        return None
    return 1 + int(np.argmin([np.abs(np.sort(_luminance(quality)) - table).sum() for quality in range(1, 101)]))


def _luminance(quality: int) -> np.ndarray:
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.asarray(np.clip((_LUMINANCE * scale + 50) // 100, 1, 255))
