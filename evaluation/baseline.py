"""How much of a detection is file format: the strongest of several readers of statistics that know nothing of content.

A weak baseline flatters whoever is compared with it. So there are three readers, from a plane to boosted trees; each has seen the
very pool that it is tested on, which no detector has; and whichever does best is the one that a detector must beat.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from evaluation.detection import Measure, measure_above
from evaluation.groups import ALONE, Groups, redrawing
from evaluation.lowlevel import statistics
from evaluation.metrics import auroc
from guard.errors import InvalidInputError
from guard.fitting.logistic import fit_logistic
from guard.types import Bools, Floats, Pixels

FEWEST = 10  # images a side: each half of them teaches once and is judged once
_STRENGTH = 1e-3
_DRAWS, _LEVELS = 200, (2.5, 97.5)
_FAR = 5.0  # deviations: a square of what lies beyond would drown the rest
_TREES = {"max_iter": 100, "max_leaf_nodes": 15, "min_samples_leaf": 5, "l2_regularization": 1.0, "early_stopping": False}

_Reader = Callable[[Floats, Floats, Floats], Floats]  # in and out statistics to learn from, others to judge -> log-odds of out


@dataclass(frozen=True, slots=True)
class Margin:
    """What a detector flags of out images less what the baseline does, and a 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Traces:
    """What each reader makes of test images: reader -> (n,) and (m,) scores, higher = more out.

    Cross-fitted: each half of the images is judged by what learned from the other half.
    """

    inside: Mapping[str, Floats]
    outside: Mapping[str, Floats]
    groups: Groups = ALONE

    @classmethod
    def of(cls, inside: Pixels, outside: Pixels, *, seed: int, groups: Groups = ALONE) -> "Traces":
        """Read (n, h, w, 3) in and (m, h, w, 3) out images of one size; InvalidInputError with fewer than 10 of either."""
        return cls.of_statistics(statistics(inside), statistics(outside), seed=seed, groups=groups)

    @classmethod
    def of_statistics(cls, inside: Floats, outside: Floats, *, seed: int, groups: Groups = ALONE) -> "Traces":
        """Return `of` from statistics (n, 15) and (m, 15), for whoever does not hold the images."""
        if min(len(inside), len(outside)) < FEWEST:
            raise InvalidInputError(
                f"{len(inside)} in and {len(outside)} out images are too few for the low-level baseline; give at least "
                f"{FEWEST} of each"
            )
        sides = inside, outside
        rng = np.random.default_rng(seed)
        halves = [rng.permutation(len(side)) % 2 for side in sides]
        inner, outer = ({name: np.empty(len(side), np.float32) for name in READERS} for side in sides)
        for half in (0, 1):
            known, unknown = (side[of != half] for side, of in zip(sides, halves, strict=True))
            for name, read in READERS.items():
                asked = [side[of == half] for side, of in zip(sides, halves, strict=True)]
                found = read(known, unknown, np.concatenate(asked))
                inner[name][halves[0] == half], outer[name][halves[1] == half] = np.split(found, [len(asked[0])])
        return cls(inner, outer, groups)

    @property
    def auroc(self) -> float:
        """The largest of the readers'."""
        return max(auroc(self.inside[name], self.outside[name]) for name in self.inside)

    def strongest(self) -> str:
        """Return the reader with the largest AUROC."""
        return max(self.inside, key=lambda name: auroc(self.inside[name], self.outside[name]))

    def flags(self, fpr: float) -> Bools:
        """Return which out images (m,) the best reader flags where it flags at most a share `fpr` of these in images."""
        flagged = (self.outside[name] > threshold for name, threshold in self._thresholds(fpr))
        return max(flagged, key=np.count_nonzero)

    def measure(self, fpr: float, *, seed: int) -> Measure:
        """Return the figures at a threshold that flags at most a share `fpr` of these in images, each that of its best reader."""
        found = [
            measure_above(self.inside[name], self.outside[name], threshold, seed=seed, groups=self.groups)
            for name, threshold in self._thresholds(fpr)
        ]
        rates, area = max(found, key=lambda m: m.tpr.value), max(found, key=lambda m: m.auroc)
        at_95 = min(found, key=lambda m: m.fpr_at_95)
        return Measure(rates.tpr, rates.fpr, area.auroc, area.auroc_interval, at_95.fpr_at_95, at_95.fpr_at_95_interval)

    def margin(self, inside: Bools, outside: Bools, *, seed: int) -> Margin:
        """Return the margin of a detector that flags `inside` (n,) and `outside` (m,) of these images.

        The baseline stands at the detector's own false-positive rate. The interval is the bootstrap's over both sides, by groups:
        with each redraw the rate is counted, and the baseline's threshold read off, anew, since neither is known better.
        """
        value = float(outside.mean() - self.flags(float(inside.mean())).mean())
        rng = np.random.default_rng(seed)
        in_rows, out_rows = redrawing(len(inside), self.groups.inside), redrawing(len(outside), self.groups.outside)
        draws = []
        for _ in range(_DRAWS):
            i, o = in_rows(rng), out_rows(rng)
            fpr = float(inside[i].mean())
            best = max((self.outside[name][o] > _threshold(self.inside[name][i], fpr)).mean() for name in self.inside)
            draws.append(outside[o].mean() - best)
        low, high = np.percentile(draws, _LEVELS)
        return Margin(value, float(low), float(high))

    def _thresholds(self, fpr: float) -> Sequence[tuple[str, float]]:
        return [(name, _threshold(scores, fpr)) for name, scores in self.inside.items()]


def _threshold(inside: Floats, fpr: float) -> float:
    """Return a score that at most a share `fpr` lies above."""
    allowed = min(int(fpr * len(inside) + 1e-9), len(inside) - 1)
    place = len(inside) - 1 - allowed
    return float(np.partition(inside, place)[place])


def _linear(inside: Floats, outside: Floats, asked: Floats) -> Floats:
    weights, bias = fit_logistic(inside, outside, strength=_STRENGTH)
    return (asked @ weights + bias).astype(np.float32)


def _squares(inside: Floats, outside: Floats, asked: Floats) -> Floats:
    """Squares beside the statistics: out images may lie on both sides of in images."""
    centre, spread = inside.mean(axis=0), np.maximum(inside.std(axis=0), 1e-6)
    z = [np.clip((side - centre) / spread, -_FAR, _FAR) for side in (inside, outside, asked)]
    return _linear(*(np.concatenate([side, side**2], axis=1) for side in z))


def _trees(inside: Floats, outside: Floats, asked: Floats) -> Floats:
    sides = np.repeat([0, 1], [len(inside), len(outside)])
    model = HistGradientBoostingClassifier(class_weight="balanced", random_state=0, **_TREES)
    with threadpool_limits(
        1, user_api="openmp"
    ):  # so few rows gain nothing by threads, and beside other work wait for each other
        model.fit(np.concatenate([inside, outside]), sides)
        return np.asarray(model.decision_function(asked), np.float32)


READERS: Mapping[str, _Reader] = {"linear": _linear, "squares": _squares, "trees": _trees}
