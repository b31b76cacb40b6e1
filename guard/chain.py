"""The last steps of a matched chain: every image, in or out, is reduced and compressed alike before it is compared.

Image sets differ in size, blur and JPEG quality. A detector that reads those scores high and protects nothing, since an adversary
resizes and re-encodes at no cost. After this chain what still tells in from out is what the images show.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from guard.images import cropped, reencode
from guard.types import Ints, Pixels


@dataclass(frozen=True, slots=True)
class Chain:
    """Centre crop -> antialiased reduction -> JPEG, quality uniform in `qualities`, 4:2:0 -> `size`.

    `size` is the model's own (height, width), and what is cropped has its shape, as images are framed when they are served:
    nothing is stretched. `side` is the shorter side of what it is reduced to. The quality is drawn from a generator of its own,
    so the same seed gives the same images.
    """

    side: int
    size: tuple[int, int]
    qualities: tuple[int, int] = (70, 95)

    def apply(self, images: list[Pixels], *, seed: int) -> Pixels:
        """Return (n, height, width, 3) uint8 from n images of any sizes."""
        rows = [self.one(image, quality=int(q)) for image, q in zip(images, self.draw(len(images), seed=seed), strict=True)]
        return np.stack(rows) if rows else np.empty((0, *self.size, 3), np.uint8)

    def draw(self, n: int, *, seed: int) -> Ints:
        """Return the (n,) qualities that `apply` takes for n images, for whoever has one image at a time."""
        low, high = self.qualities
        return np.random.default_rng([seed, self.side]).integers(low, high + 1, n)

    def one(self, image: Pixels, *, quality: int) -> Pixels:
        """Return (height, width, 3) uint8 from one image."""
        shorter = min(self.size)
        height, width = (round(self.side * length / shorter) for length in self.size)
        reduced = Image.fromarray(cropped(image, self.size)).resize((width, height), Image.Resampling.BOX)
        coded = reencode(np.asarray(reduced), quality=quality)
        return np.asarray(Image.fromarray(coded).resize(self.size[::-1], Image.Resampling.BILINEAR))
