"""Which chain makes in and out images comparable: chosen on the images that fit detectors, by what the baseline can still see.

First a common history (`guard.history`), with the filter that leaves the least to the low-level baseline; then the largest side
at which it sees no more than at the smallest. No calibration or test image is looked at.
"""

from dataclasses import dataclass

import numpy as np

from evaluation.baseline import Traces
from evaluation.datasets import ImageSet
from evaluation.detection import Measure
from evaluation.experiment_file import ChainPlan
from guard.chain import MIN_SIDE, Chain
from guard.errors import InvalidInputError
from guard.history import History, Kernel, jpeg_quality
from guard.types import Pixels

SHARES = (0.85, 0.75, 0.625, 0.5)  # of the common history's side: a last reduction hides what of the history was not alike
TOLERANCE = 0.02  # of AUROC
_N_QUALITIES = 64
_N_MATCH = 1_000  # images a side that choose the chain


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate, and what statistics that know nothing of content still make of it."""

    kernel: Kernel
    side: int
    baseline: Measure


@dataclass(frozen=True, slots=True)
class Matching:
    """What both sides go through, and the candidates among which it was chosen."""

    history: History
    chain: Chain
    trials: tuple[Trial, ...]

    def apply(self, images: list[Pixels], *, seed: int) -> Pixels:
        """Return (n, height, width, 3) uint8 at the model's size from n images of any sizes."""
        return self.chain.apply(self.history.apply(images), seed=seed)

    def describe(self) -> str:
        """Return the chain in words."""
        codec = "" if self.history.quality is None else f", JPEG {self.history.quality}"
        low, high = self.chain.qualities
        return (
            f"reduced to {self.history.side} px ({self.history.kernel}{codec}) where larger, then to {self.chain.side} px, "
            f"JPEG {low} to {high}, then to the model's {self.chain.size[0]} px"
        )


@dataclass(frozen=True, slots=True)
class Source:
    """A sample of one side: its images in their own sizes, and the JPEG quality that most of its files have, None without."""

    images: list[Pixels]
    quality: int | None

    @classmethod
    def of(cls, images: ImageSet) -> "Source":
        """Decode a set; it must be small enough for memory."""
        found = [jpeg_quality(images.encoded(i)) for i in range(min(_N_QUALITIES, len(images)))]
        known = [q for q in found if q is not None]
        return cls(images.decoded(), int(np.median(known)) if 2 * len(known) > len(found) else None)

    @property
    def side(self) -> int:
        """The 5th percentile of the short sides, so that a handful of thumbnails does not decide."""
        return int(np.percentile([min(image.shape[:2]) for image in self.images], 5)) if self.images else 0


@dataclass(frozen=True, slots=True)
class Search:
    """How candidates are tried: the model's (height, width), the chain's qualities and side, the baseline's target, a seed."""

    size: tuple[int, int]
    qualities: tuple[int, int] = (70, 95)
    target_fpr: float = 0.05
    side: int | None = None  # None: chosen
    seed: int = 0


def match_sets(inside: ImageSet, outside: ImageSet, plan: ChainPlan, *, size: tuple[int, int], seed: int) -> Matching:
    """Return the chain for two sets that fit detectors, by a file's plan; the first of each are enough to choose by."""
    known, unknown = (Source.of(images.take(slice(0, _N_MATCH))) for images in (inside, outside))
    return match(known, unknown, Search(size, (plan.quality_low, plan.quality_high), side=plan.side, seed=seed))


def match(inside: Source, outside: Source, search: Search) -> Matching:
    """Return the chosen chain; InvalidInputError if a side is too small to be reduced.

    The smaller source gives resolution and codec of the common history: what it lost, the other must lose as well.
    """
    smaller = min(inside, outside, key=lambda source: source.side)
    side = min(smaller.side, *search.size)
    if SHARES[0] * side < MIN_SIDE:
        raise InvalidInputError(
            f"images of {side} pixels are too small to compare in from out fairly; give images of at least "
            f"{int(np.ceil(MIN_SIDE / SHARES[0]))} pixels a side"
        )
    sides = [search.side] if search.side else [int(share * side) for share in SHARES if share * side >= MIN_SIDE]
    histories = [History(side, kernel, smaller.quality) for kernel in Kernel]
    first = [_trial(inside, outside, history, sides[0], search) for history in histories]
    best = min(range(len(first)), key=lambda i: first[i].baseline.auroc)
    smaller_ones = [_trial(inside, outside, histories[best], each, search) for each in sides[1:]]
    ladder = [first[best], *smaller_ones]
    least = min(trial.baseline.auroc for trial in ladder)
    chosen = next(trial for trial in ladder if trial.baseline.auroc <= least + TOLERANCE)
    chain = Chain(chosen.side, search.size, search.qualities)
    return Matching(histories[best], chain, (*first, *smaller_ones))


def _trial(inside: Source, outside: Source, history: History, side: int, search: Search) -> Trial:
    # At the chain's own side: what the model's size adds afterwards is an enlargement, the same for both.
    chain = Chain(side, (side, side), search.qualities)
    pixels = [chain.apply(history.apply(source.images), seed=search.seed + i) for i, source in enumerate((inside, outside))]
    traces = Traces.of(pixels[0], pixels[1], seed=search.seed)
    return Trial(history.kernel, side, traces.measure(search.target_fpr, seed=search.seed))
