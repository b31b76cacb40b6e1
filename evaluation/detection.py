"""What a detector can do, measured: rates at its own threshold, and what does not hang on a threshold, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.lowlevel import fit_low_level
from evaluation.metrics import auroc
from guard.calibration import Threshold, calibrate
from guard.errors import CalibrationError, InvalidInputError
from guard.rate import Rate
from guard.types import Floats, Pixels

_DRAWS = 200
_LEVELS = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Measure:
    """One detector on one pool. Intervals are 95 %: Wilson's for rates, the bootstrap's (both sides redrawn) for the others."""

    tpr: Rate
    fpr: Rate
    auroc: float
    auroc_interval: tuple[float, float]
    fpr_at_95: float  # share of in images that a threshold flags which flags 95 % of the out images
    fpr_at_95_interval: tuple[float, float]

    @property
    def tnr(self) -> Rate:
        """In images let through."""
        return Rate(self.fpr.n - self.fpr.count, self.fpr.n)


def measure(inside: Floats, outside: Floats, threshold: Threshold, *, seed: int) -> Measure:
    """Return what scores (n,) and (m,) say at a threshold; InvalidInputError if either side is empty."""
    return measure_at(inside, outside, [threshold], seed=seed)[0]


def measure_at(inside: Floats, outside: Floats, thresholds: Sequence[Threshold], *, seed: int) -> list[Measure]:
    """Return a `measure` for each threshold; what hangs on none is computed once."""
    rng = np.random.default_rng(seed)
    draws = np.array([_free(_redraw(inside, rng), _redraw(outside, rng)) for _ in range(_DRAWS)])
    low, high = np.percentile(draws, _LEVELS, axis=0)
    area, at_95 = _free(inside, outside)
    return [
        Measure(
            tpr=Rate.of(threshold.flags(outside)),
            fpr=Rate.of(threshold.flags(inside)),
            auroc=area,
            auroc_interval=(float(low[0]), float(high[0])),
            fpr_at_95=at_95,
            fpr_at_95_interval=(float(low[1]), float(high[1])),
        )
        for threshold in thresholds
    ]


def _free(inside: Floats, outside: Floats) -> tuple[float, float]:
    area = auroc(inside, outside)
    # The largest threshold that still flags 95 % of the out images.
    threshold = np.sort(outside)[int(np.floor(0.05 * len(outside)))]
    return area, float((inside >= threshold).mean())


def _redraw(scores: Floats, rng: np.random.Generator) -> Floats:
    return scores[rng.integers(len(scores), size=len(scores))]


def low_level_measure(inside: Pixels, outside: Pixels, *, target_fpr: float, seed: int) -> Measure:
    """Measure statistics that know nothing of content on images of one size, fitted on one part of them and tested on another.

    Of the in images 40 % fit, 30 % calibrate, 30 % test; of the out images half fit, half test. It has seen this very pool,
    which no detector has: what it reaches is a generous estimate of how much file format alone gives away.
    """
    return low_level_measures(inside, outside, targets=(target_fpr,), seed=seed)[0]


def low_level_measures(inside: Pixels, outside: Pixels, *, targets: Sequence[float], seed: int) -> list[Measure]:
    """Return a `low_level_measure` for each target, from one baseline."""
    rng = np.random.default_rng(seed)
    inside, outside = inside[rng.permutation(len(inside))], outside[rng.permutation(len(outside))]
    fit, calibration, test = np.split(inside, [int(0.4 * len(inside)), int(0.7 * len(inside))])
    known, unknown = np.split(outside, [len(outside) // 2])
    if min(map(len, (fit, calibration, test, known, unknown))) < 1:
        raise InvalidInputError(f"{len(inside)} in and {len(outside)} out images are too few for the low-level baseline")
    baseline = fit_low_level(fit, known)
    scores = baseline.scores(calibration)
    thresholds = [_lenient(scores, target) for target in targets]
    return measure_at(baseline.scores(test), baseline.scores(unknown), thresholds, seed=seed)


def _lenient(scores: Floats, target_fpr: float) -> Threshold:
    try:
        return calibrate(scores, target_fpr=target_fpr)
    except CalibrationError:  # too few for a guarantee: a plain quantile, since this number protects nobody
        value = float(np.quantile(scores, 1 - target_fpr))
        return Threshold(value, target_fpr, 0.5, len(scores), target_fpr)
