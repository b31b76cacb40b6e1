"""Both pools through the matched chain, one image at a time, into what `protect` fits, calibrates and tests on."""

from collections.abc import Mapping

import numpy as np

from guard.chain import Chain, chain_for
from guard.preprocess import framed
from guard.types import Pixels, Reporter
from knockguard.pools import Pool
from knockguard.protect import Material

_PLAIN = "plain"  # the calibration images once more, only resized


def match(inside: Pool, outside: Pool, *, size: tuple[int, int], seed: int, progress: Reporter) -> Material:
    """Return both pools after the chain; calibration also holds in images that were only resized.

    Memory: three bytes a pixel of the model's own size for each image, and again for those that calibrate. InvalidInputError if a
    source is too small to be reduced, or an image cannot be decoded.
    """
    chain = chain_for(inside.short_sides["fit"], outside.short_sides["fit"], size=size)
    n_in, n_out = sum(inside.counts().values()), sum(outside.counts().values())
    ins = _through(
        chain, inside, {"fit": seed, "calibration": seed + 2, "test": seed + 3}, lambda done, _: progress(done, n_in + n_out)
    )
    outs = _through(chain, outside, {"fit": seed + 1, "test": seed + 4}, lambda done, _: progress(n_in + done, n_in + n_out))
    calibration = {"as_sent": ins[_PLAIN], "reencoded": ins["calibration"]}
    return Material(in_fit=ins["fit"], out_fit=outs["fit"], calibration=calibration, in_test=ins["test"], out_test=outs["test"])


def _through(chain: Chain, pool: Pool, seeds: Mapping[str, int], progress: Reporter) -> dict[str, Pixels]:
    counts = pool.counts()
    qualities = {side: chain.draw(counts[side], seed=seed) for side, seed in seeds.items()}
    rows = {
        side: np.empty((n, *chain.size, 3), np.uint8) for side, n in (counts | {_PLAIN: counts.get("calibration", 0)}).items()
    }
    for side, row, image in pool.images(progress=progress):
        rows[side][row] = chain.one(image, quality=int(qualities[side][row]))
        if side == "calibration":
            rows[_PLAIN][row] = framed(image, chain.size)
    return rows
