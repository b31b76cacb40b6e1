"""Out images that low-level statistics cannot tell from in images: what a detector flags among them, it flags for their content.

No chain removes every difference: fur has another spectrum than lacquer, whatever the file. So out images are thinned until
the baseline's own score is spread over them as over in images (matching on a propensity score, Rosenbaum and Rubin 1983).
"""

import numpy as np
from numpy.typing import NDArray

from evaluation.lowlevel import statistics
from guard.errors import InvalidInputError
from guard.fitting.logistic import fit_logistic
from guard.types import Bools, Floats, Pixels

_BINS = 12
_BEYOND = 0.005  # of in images at either end
_STRENGTH = 1e-3
_MIN_IMAGES = 40


def lookalikes(inside: Pixels, outside: Pixels, *, seed: int) -> Bools:
    """Return which of the (m, h, w, 3) out images to keep, (m,) booleans; the in images are (n, h, w, 3), of the same size.

    Cross-fitted: each half of the images is judged by a baseline that learned from the other half. InvalidInputError with fewer
    than 40 images on a side.
    """
    if min(len(inside), len(outside)) < _MIN_IMAGES:
        raise InvalidInputError(
            f"{len(inside)} in and {len(outside)} out images are too few to look for lookalikes; give {_MIN_IMAGES} of each"
        )
    rng = np.random.default_rng(seed)
    plain = statistics(inside)
    centre, spread = plain.mean(axis=0), np.maximum(plain.std(axis=0), 1e-6)
    known, unknown = (_with_squares((found - centre) / spread) for found in (plain, statistics(outside)))
    in_half, out_half = rng.permutation(len(known)) % 2, rng.permutation(len(unknown)) % 2
    kept = np.zeros(len(unknown), np.bool_)
    for half in (0, 1):
        weights, bias = fit_logistic(known[in_half == half], unknown[out_half == half], strength=_STRENGTH)
        judged = np.flatnonzero(out_half != half)
        chance = _acceptance(known[in_half != half] @ weights + bias, unknown[judged] @ weights + bias)
        kept[judged] = rng.random(len(judged)) < chance
    return kept


def _with_squares(standardised: Floats) -> Floats:
    """Squares beside the statistics, so that a spread is matched as well as a mean."""
    return np.concatenate([standardised, standardised**2], axis=1)


def _acceptance(inside: NDArray[np.float64], outside: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each out score the chance to be kept: in images' density over out images', scaled to at most 1.

    The scale is that of the 90th percentile of in images: the rarest bins, where there are too few out images, fall short. What
    lies beyond the in images' range has no counterpart there and is never kept.
    """
    edges = np.quantile(inside, np.linspace(_BEYOND, 1 - _BEYOND, _BINS + 1))
    within = (outside >= edges[0]) & (outside <= edges[-1])
    of_in, of_out = (np.searchsorted(edges[1:-1], scores) for scores in (inside, outside))
    share_in = np.bincount(of_in, minlength=_BINS) / len(inside)
    share_out = np.maximum(np.bincount(of_out[within], minlength=_BINS), 1) / len(outside)
    ratio = share_in / share_out
    return np.where(within, np.minimum(1.0, ratio / np.quantile(ratio[of_in], 0.9))[of_out], 0.0)
