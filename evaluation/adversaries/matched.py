"""Matched: give every query the history of the victim's own images."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evaluation.adversaries.disguise import Disguise
from evaluation.transfer import Queries
from guard.errors import ConfigError
from guard.images import reencode, resize
from guard.types import Pixels


@dataclass(frozen=True, slots=True)
class Matched(Disguise):
    """Bring each query to `side` pixels and back to its size, then through JPEG at `quality`; None leaves a step out.

    A detector that reads resolution and codec instead of content has nothing left to tell in from out by. The adversary
    is taken to know the victim's domain well enough to name the two. The copy learns from the images as they were asked.
    The design is ours.
    """

    name: ClassVar[str] = "matched"
    side: int | None = None
    quality: int | None = 75

    def __post_init__(self) -> None:
        if self.side is None and self.quality is None:
            raise ConfigError("side and quality are both None: nothing is matched; give one of them, or use soft")
        if (self.side is not None and self.side < 1) or (self.quality is not None and not 1 <= self.quality <= 95):
            raise ConfigError(f"side {self.side}, quality {self.quality}: at least 1, from 1 to 95")

    def expand(self, queries: Queries) -> Queries:
        if len(queries):
            queries = Queries(np.stack([self._match(image) for image in queries.pixels]), queries.sources)
        return self.behind.expand(queries)

    def _match(self, image: Pixels) -> Pixels:
        height, width = image.shape[:2]
        if self.side is not None:
            image = resize(resize(image, (self.side, self.side)), (height, width))
        return image if self.quality is None else reencode(image, quality=self.quality)
