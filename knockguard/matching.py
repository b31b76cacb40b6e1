"""Pools through the matched chain, one image at a time: into what `protect` fits and tests on, and what `audit` measures."""

from collections.abc import Container, Mapping

import numpy as np

from guard.chain import Chain, chain_for
from guard.preprocess import framed
from guard.types import Pixels, Reporter
from knockguard.pools import Source
from knockguard.protect import Material


def match(inside: Source, outside: Source, *, size: tuple[int, int], seed: int, progress: Reporter) -> Material:
    """Return both pools after the chain; what fits and what calibrates also holds the images as they come, only resized.

    A detector that has seen reduced images alone takes a sharp one of a customer for out, and the threshold that spares him then
    lets all others pass. Both sides are shown both ways, so that neither is told by its history.
    Memory: three bytes a pixel of the model's own size for each image, twice for those that fit or calibrate. InvalidInputError
    if a source is too small to be reduced, or an image cannot be decoded.
    """
    chain = chain_for(inside.short_sides["fit"], outside.short_sides["fit"], size=size)
    n_in, n_out = sum(inside.counts().values()), sum(outside.counts().values())
    seeds = {"fit": seed, "calibration": seed + 2, "test": seed + 3}
    ins, plain = through(
        chain, inside, seeds, plain=("fit", "calibration"), progress=lambda done, _: progress(done, n_in + n_out)
    )
    seeds = {"fit": seed + 1, "test": seed + 4}
    outs, out_plain = through(chain, outside, seeds, plain=("fit",), progress=lambda done, _: progress(n_in + done, n_in + n_out))
    return Material(
        in_fit=np.concatenate([ins["fit"], plain["fit"]]),
        out_fit=np.concatenate([outs["fit"], out_plain["fit"]]),
        calibration={"as_sent": plain["calibration"], "reencoded": ins["calibration"]},
        in_test=ins["test"],
        out_test=outs["test"],
        in_fit_classes=2 * tuple(inside.labels["fit"]),
        views=2,
    )


def through(
    chain: Chain, source: Source, seeds: Mapping[str, int], *, progress: Reporter, plain: Container[str] = ()
) -> tuple[dict[str, Pixels], dict[str, Pixels]]:
    """Return the images of each side after the chain, with one seed a side, and those of the sides in `plain` only resized."""
    counts = source.counts()
    qualities = {side: chain.draw(counts[side], seed=seed) for side, seed in seeds.items()}
    matched = {side: np.empty((n, *chain.size, 3), np.uint8) for side, n in counts.items()}
    plainly = {side: np.empty((n, *chain.size, 3), np.uint8) for side, n in counts.items() if side in plain}
    for side, row, image in source.images(progress=progress):
        matched[side][row] = chain.one(image, quality=int(qualities[side][row]))
        if side in plain:
            plainly[side][row] = framed(image, chain.size)
    return matched, plainly


def resized(source: Source, size: tuple[int, int], *, progress: Reporter) -> dict[str, Pixels]:
    """Return the images of each side at the model's size, with nothing else done to them."""
    rows = {side: np.empty((n, *size, 3), np.uint8) for side, n in source.counts().items()}
    for side, row, image in source.images(progress=progress):
        rows[side][row] = framed(image, size)
    return rows
