"""Out images that low-level statistics cannot tell from in images: what a detector flags among them, it flags for their content.

No chain removes every difference: fur has another spectrum than lacquer, whatever the file. So out images are thinned until
the baseline's own score is spread over them as over in images (matching on a propensity score, Rosenbaum and Rubin 1983).
"""

import numpy as np
from numpy.typing import NDArray

from evaluation.baseline import Traces
from guard.types import Bools, Floats

_BINS = 12
_BEYOND = 0.005  # of in images at either end


def lookalikes(traces: Traces, *, seed: int) -> Bools:
    """Return which of the (m,) out images to keep, by the baseline's strongest reader, which is cross-fitted."""
    name = traces.strongest()
    chance = _acceptance(traces.inside[name], traces.outside[name])
    kept: Bools = np.random.default_rng(seed).random(len(chance)) < chance
    return kept


def _acceptance(inside: Floats, outside: Floats) -> NDArray[np.float64]:
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
