"""What an audit finds: by pool, by re-encoding, by distance from what the model was made for."""

from dataclasses import dataclass

from evaluation.artefacts import Example
from evaluation.detection import Measure
from guard.rate import Rate
from guard.types import Floats


@dataclass(frozen=True, slots=True)
class DistanceBin:
    """Out images whose distance from the nearest class lies from `low` to `high`, in medians of the in images' own."""

    low: float
    high: float
    flagged: Rate


@dataclass(frozen=True, slots=True)
class PoolAudit:
    """One out pool: each detector as images come (resized only) and after the matched chain, beside the low-level baseline.

    `synthetic` tells a pool that was made from the in images and generators. `n_chose` in and out images chose the chain and are
    not measured; `n` out images are. `distances` is empty where the model shows no stage.
    """

    name: str
    synthetic: bool
    n: int
    n_chose: tuple[int, int]
    side: int  # of the matched chain, in pixels
    chain: str  # in words
    unmatched: dict[str, Measure]
    matched: dict[str, Measure]
    low_level_unmatched: Measure
    low_level: Measure
    worst_classes: tuple[tuple[str, Rate], ...]  # by TPR of the deciding detector, matched
    distances: tuple[DistanceBin, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """A whole audit. `benign` holds the deciding detector's false-positive rate for each re-encoding of the in images."""

    bundle: str
    detector: str
    target_fpr: float
    n_in: int
    pools: tuple[PoolAudit, ...]
    benign: dict[str, Rate]
    worst_in_classes: tuple[tuple[str, Rate], ...]  # of images as they are sent, the most flagged first
    seed: int
    created: str
    left_out: dict[str, str] | None = None  # source -> what of it made the bundle; None where the bundle does not tell
    n_logged: int = 0  # images that calibrated it by their logged scores, which cannot be told from others


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page shows beside the figures: scores less their threshold, matched, a pool each, and pictures of the errors."""

    inside: Floats  # by the chain of each pool in turn
    outside: tuple[Floats, ...]
    missed: tuple[Example, ...]  # out images that pass, the lowest scores first
    hurt: tuple[Example, ...]  # in images that are flagged, the highest scores first
