"""Which chain makes in and out images comparable: chosen on the images that fit detectors, by what the baseline can still see.

First a common history (`guard.history`), with the filter that leaves the least to the low-level baseline; then the largest side
at which it sees no more than at the smallest. No calibration or test image is looked at.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np

from evaluation.baseline import Traces
from evaluation.datasets import ImageSet
from evaluation.detection import Measure
from evaluation.experiment_file import ChainPlan
from evaluation.lowlevel import statistics
from guard.bundle import MatchedSpec
from guard.chain import Chain
from guard.errors import InvalidInputError
from guard.history import History, Kernel, jpeg_quality
from guard.types import Floats, Ints, Pixels

SHARES = (0.85, 0.75, 0.625, 0.5)  # of the common history's side: a last reduction hides what of the history was not alike
TOLERANCE = 0.02  # of AUROC
MIN_SIDE = 12
N_MATCH = 1_000  # images a side that choose the chain
N_QUALITIES = 64


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

    @property
    def baseline(self) -> Measure:
        """What is left to the baseline on the images that chose."""
        return next(t for t in self.trials if (t.kernel, t.side) == (self.history.kernel, self.chain.side)).baseline

    def apply(self, images: list[Pixels], *, seed: int) -> Pixels:
        """Return (n, height, width, 3) uint8 at the model's size from n images of any sizes."""
        return self.chain.apply(self.history.apply(images), seed=seed)

    def one(self, image: Pixels, *, quality: int) -> Pixels:
        """Return (height, width, 3) uint8 from one image; qualities for n of them are `chain.draw`'s."""
        return self.chain.one(self.history.one(image), quality=quality)

    def describe(self) -> str:
        """Return the chain in words."""
        codec = "" if self.history.quality is None else f", JPEG {self.history.quality}"
        low, high = self.chain.qualities
        return (
            f"reduced to {self.history.side} px ({self.history.kernel}{codec}) where larger, then to {self.chain.side} px, "
            f"JPEG {low} to {high}, then to the model's {self.chain.size[0]} px"
        )

    def spec(self) -> MatchedSpec:
        """Return what a bundle records of it."""
        left = self.baseline
        return MatchedSpec(
            source_px=self.history.side,
            kernel=self.history.kernel.value,
            source_quality=self.history.quality,
            side_px=self.chain.side,
            qualities=self.chain.qualities,
            baseline_auroc=left.auroc,
            baseline_tpr=left.tpr.value,
            baseline_fpr=left.fpr.value,
            n_in=left.fpr.n,
            n_out=left.tpr.n,
        )

    def left(self) -> str:
        """Return in words what the baseline has left."""
        left = self.baseline
        return (
            f"statistics that know nothing of content still flag {left.tpr.value:.3f} of out (n={left.tpr.n}) "
            f"at {left.fpr.value:.3f} of in (n={left.fpr.n}), AUROC {left.auroc:.3f}, of images that chose the chain"
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of one side: images in their own sizes, the same ones each time they are gone through, and their size.

    `side` is that of `short_side`, `quality` that of `common_quality`.
    """

    images: Iterable[Pixels]
    n: int
    side: int
    quality: int | None

    @classmethod
    def of(cls, images: ImageSet) -> "Sample":
        """Decode a set; it must be small enough for memory."""
        encoded = (images.encoded(i) for i in range(min(N_QUALITIES, len(images))))
        decoded = images.decoded()
        short_sides = np.array([min(image.shape[:2]) for image in decoded], np.int64)
        return cls(decoded, len(decoded), short_side(short_sides), common_quality(encoded))


def short_side(short_sides: Ints) -> int:
    """Return the 5th percentile of (n,) short sides, so that a handful of thumbnails does not decide; 0 of none."""
    return int(np.percentile(short_sides, 5)) if len(short_sides) else 0


def common_quality(files: Iterable[bytes]) -> int | None:
    """Return the JPEG quality that most of some files have, None where most are no JPEG."""
    found = [jpeg_quality(content) for content in files]
    known = [q for q in found if q is not None]
    return int(np.median(known)) if 2 * len(known) > len(found) else None


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
    known, unknown = (Sample.of(images.take(slice(0, N_MATCH))) for images in (inside, outside))
    return match(known, unknown, Search(size, (plan.quality_low, plan.quality_high), side=plan.side, seed=seed))


def match(inside: Sample, outside: Sample, search: Search) -> Matching:
    """Return the chosen chain; InvalidInputError if a side is too small to be reduced.

    The smaller source gives resolution and codec of the common history: what it lost, the other must lose as well. For a model
    that is not square a picture counts with what is left of a square one that is cut to the model's shape. Images are gone
    through twice, once for the filter and once for the side, and none is kept.
    """
    smaller = min(inside, outside, key=lambda source: source.side)
    left = min(search.size) / max(search.size)
    side = min(int(smaller.side * left), *search.size)
    if SHARES[0] * side < MIN_SIDE:
        raise InvalidInputError(
            f"images of {smaller.side} pixels are too small to compare in from out fairly; give images of at least "
            f"{int(np.ceil(MIN_SIDE / SHARES[0] / left))} pixels a side"
        )
    sides = [search.side] if search.side else [int(share * side) for share in SHARES if share * side >= MIN_SIDE]
    shared = gcd(*search.size)
    shape = (search.size[0] // shared, search.size[1] // shared)
    histories = [History(side, kernel, smaller.quality, shape) for kernel in Kernel]
    first = _trials(inside, outside, [(history, sides[0]) for history in histories], search)
    best = min(range(len(first)), key=lambda i: first[i].baseline.auroc)
    smaller_ones = _trials(inside, outside, [(histories[best], each) for each in sides[1:]], search)
    ladder = [first[best], *smaller_ones]
    least = min(trial.baseline.auroc for trial in ladder)
    chosen = next(trial for trial in ladder if trial.baseline.auroc <= least + TOLERANCE)
    return Matching(histories[best], Chain(chosen.side, search.size, search.qualities), (*first, *smaller_ones))


def _trials(inside: Sample, outside: Sample, candidates: Sequence[tuple[History, int]], search: Search) -> list[Trial]:
    found = [_statistics(source, candidates, search, seed=search.seed + i) for i, source in enumerate((inside, outside))]
    return [
        Trial(
            history.kernel,
            side,
            Traces.of_statistics(known, unknown, seed=search.seed).measure(search.target_fpr, seed=search.seed),
        )
        for (history, side), known, unknown in zip(candidates, *found, strict=True)
    ]


def _statistics(source: Sample, candidates: Sequence[tuple[History, int]], search: Search, *, seed: int) -> list[Floats]:
    """Return (n, 15) statistics of a source's images for each candidate, each image gone through once."""
    shorter = min(search.size)
    # At the chain's own side: what the model's size adds afterwards is an enlargement, the same for both.
    sizes = [(round(side * search.size[0] / shorter), round(side * search.size[1] / shorter)) for _, side in candidates]
    matchings = [
        Matching(history, Chain(side, size, search.qualities), ())
        for (history, side), size in zip(candidates, sizes, strict=True)
    ]
    qualities = [matching.chain.draw(source.n, seed=seed) for matching in matchings]
    rows: list[list[Floats]] = [[] for _ in candidates]
    for i, image in enumerate(source.images):
        for matching, drawn, found in zip(matchings, qualities, rows, strict=True):
            found.append(statistics(matching.one(image, quality=int(drawn[i]))[None]))
    return [np.concatenate(found) for found in rows]
