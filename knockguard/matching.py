"""Pools through the matched chain, one image at a time: into what `protect` fits and tests on, and what `audit` measures."""

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from itertools import count

import numpy as np

from evaluation.matching import N_QUALITIES, Matching, Sample, Search, common_quality, match, short_side
from guard.preprocess import framed
from guard.types import Pixels, Reporter
from knockguard.pools import Source
from knockguard.protect import Material


@dataclass(frozen=True, slots=True)
class Chosen:
    """The first images of one side of a source: those that choose a chain, read again each time they are gone through."""

    source: Source
    side: str
    n: int
    heard: Callable[[], None]  # called at each image

    def __iter__(self) -> Iterator[Pixels]:
        for _, _, image in self.source.images(progress=_unheard, most={self.side: self.n}):
            yield image
            self.heard()

    def sample(self) -> Sample:
        """Return it as what `evaluation.matching` chooses by."""
        files = self.source.files(self.side, most=min(N_QUALITIES, self.n))
        return Sample(self, self.n, short_side(self.source.short_sides[self.side][: self.n]), common_quality(files))


def choose(  # noqa: PLR0913  # two sources, and which of their images: the rest is what `Search` asks
    inside: Source, outside: Source, side: str, most: tuple[int, int], *, search: Search, progress: Reporter
) -> Matching:
    """Return the chain for two sources, chosen by the first images on one of their sides, `most` of in and of out.

    InvalidInputError if a source is too small to be reduced.
    """
    done, total = count(1), 2 * sum(most)
    known, unknown = (
        Chosen(source, side, n, lambda: progress(next(done), total)).sample()
        for source, n in zip((inside, outside), most, strict=True)
    )
    return match(known, unknown, search)


def into_material(matching: Matching, inside: Source, outside: Source, *, seed: int, progress: Reporter) -> Material:
    """Return both pools after the chain; what fits and what calibrates also holds the images as they come, only resized.

    A detector that has seen reduced images alone takes a sharp one of a customer for out, and the threshold that spares him then
    lets all others pass. Both sides are shown both ways, so that neither is told by its history.
    Memory: three bytes a pixel of the model's own size for each image, twice for those that fit or calibrate, and once more for
    the out images that fit while they are put together. InvalidInputError if an image cannot be decoded.
    """
    n_in, n_out = sum(inside.counts().values()), sum(outside.counts().values())
    seeds = {"fit": seed, "calibration": seed + 2, "test": seed + 3}
    ins, plain = through(
        matching, inside, seeds, plain=("fit", "calibration"), progress=lambda done, _: progress(done, n_in + n_out)
    )
    in_fit = np.concatenate([ins.pop("fit"), plain.pop("fit")])
    seeds = {"fit": seed + 1, "test": seed + 4}
    outs, out_plain = through(
        matching, outside, seeds, plain=("fit",), progress=lambda done, _: progress(n_in + done, n_in + n_out)
    )
    return Material(
        in_fit=in_fit,
        out_fit=np.concatenate([outs.pop("fit"), out_plain.pop("fit")]),
        calibration={"as_sent": plain["calibration"], "reencoded": ins["calibration"]},
        in_test=ins["test"],
        out_test=outs["test"],
        in_fit_classes=2 * tuple(inside.labels["fit"]),
        views=2,
        matching=matching,
    )


def through(
    matching: Matching, source: Source, seeds: Mapping[str, int], *, progress: Reporter, plain: Container[str] = ()
) -> tuple[dict[str, Pixels], dict[str, Pixels]]:
    """Return the images of each side after the chain, with one seed a side, and those of the sides in `plain` only resized."""
    counts, size = source.counts(), matching.chain.size
    qualities = {side: matching.chain.draw(counts[side], seed=seed) for side, seed in seeds.items()}
    matched = {side: np.empty((n, *size, 3), np.uint8) for side, n in counts.items()}
    plainly = {side: np.empty((n, *size, 3), np.uint8) for side, n in counts.items() if side in plain}
    for side, row, image in source.images(progress=progress):
        matched[side][row] = matching.one(image, quality=int(qualities[side][row]))
        if side in plain:
            plainly[side][row] = framed(image, size)
    return matched, plainly


def resized(source: Source, size: tuple[int, int], *, progress: Reporter) -> dict[str, Pixels]:
    """Return the images of each side at the model's size, with nothing else done to them."""
    rows = {side: np.empty((n, *size, 3), np.uint8) for side, n in source.counts().items()}
    for side, row, image in source.images(progress=progress):
        rows[side][row] = framed(image, size)
    return rows


def _unheard(_done: int, _total: int) -> None:
    """What is gone through twice is counted by `Chosen.heard`."""
