"""What a detection study finds, as values: which detector flags what, and what file format alone gives away."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from evaluation.baseline import Margin
from evaluation.detection import Measure
from guard.errors import InvalidInputError
from guard.rate import Rate
from guard.whole import write_whole

T = TypeVar("T")
BASELINE = "low-level statistics"
MATCHED, AS_THEY_COME = "matched", "as they come"


@dataclass(frozen=True, slots=True)
class Row:
    """One detector on one pool at one target. `lookalikes` is its TPR among the out images that the baseline takes for in images.

    `world` is what images went through before they were fitted, calibrated and tested on. `baseline` is what the low-level one
    flags of the same images, of which it has seen others, at the false-positive rate that the detector came to.
    """

    world: str
    detector: str
    pool: str
    target_fpr: float
    measure: Measure
    baseline: Rate
    margin: Margin
    lookalikes: Rate | None
    lookalikes_baseline: Rate | None


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage by itself: AUROC on out images in both worlds, and of the same regression on traces without content.

    `codec` tells in images after JPEG 70 from others after JPEG 95, `resolution` in images at the chain's side from others at
    three quarters of it: .5 is a stage that cannot read the trace, 1 one that does without fail.
    """

    stage: str
    n_features: int
    matched: float
    lookalikes: float
    as_they_come: float
    codec: float
    resolution: float


@dataclass(frozen=True, slots=True)
class BenignRow:
    """Share of re-encoded in images that a detector flags; the threshold is the matched world's."""

    transform: str
    detector: str
    fpr: Rate


@dataclass(frozen=True, slots=True)
class MasqueradeRow:
    """TPR of a detector against queries dressed up as the victim's own; `moved` is by how many grey levels on average."""

    masquerade: str
    detector: str
    tpr: Rate
    score_needed: bool  # True: an upper bound, since a flagged client cannot see its score
    moved: float


@dataclass(frozen=True, slots=True)
class VictimStudy:
    """Everything of one victim. Accuracies are on the published test split: as images come, and after the matched chain."""

    name: str
    set: str
    architecture: str
    size: int
    seed: int
    n_train: int
    accuracy: float
    accuracy_matched: float
    chain: str
    trials: tuple[tuple[str, int, float, float], ...]  # filter, side, the baseline's TPR and AUROC on fitting images
    counts: dict[str, int]
    rows: tuple[Row, ...]
    stages: tuple[StageRow, ...] = ()
    benign: tuple[BenignRow, ...] = ()
    masquerades: tuple[MasqueradeRow, ...] = ()
    seconds: float = 0.0

    def find(self, world: str, detector: str, pool: str, target_fpr: float) -> Row | None:
        """Return one row, or None where it was not measured."""
        wanted = (world, detector, pool, target_fpr)
        return next((r for r in self.rows if (r.world, r.detector, r.pool, r.target_fpr) == wanted), None)


@dataclass(frozen=True, slots=True)
class Study:
    """A finished experiment file."""

    title: str
    file: str
    figures: tuple[str, ...]
    differs: tuple[str, ...]
    targets: tuple[float, ...]
    default: str  # the detector that the file names first
    victims: tuple[VictimStudy, ...]
    versions: dict[str, str]


def write_study(study: Study, path: Path) -> None:
    """Write JSON, whole or not at all."""
    write_whole(path, TypeAdapter(Study).dump_json(study, indent=1) + b"\n")


def read_study(path: Path) -> Study:
    """Return a study; InvalidInputError if the file is not there or holds something else."""
    return _read(path, TypeAdapter(Study))


def write_victim(found: VictimStudy, path: Path) -> None:
    """Write one victim's part, whole or not at all."""
    write_whole(path, TypeAdapter(VictimStudy).dump_json(found, indent=1) + b"\n")


def read_victim(path: Path) -> VictimStudy:
    """Return one victim's part; InvalidInputError as for a study."""
    return _read(path, TypeAdapter(VictimStudy))


def pools_of(victim: VictimStudy) -> Sequence[str]:
    """Return the pools that were tested, in their order."""
    return list(dict.fromkeys(row.pool for row in victim.rows))


def _read(path: Path, kind: TypeAdapter[T]) -> T:
    try:
        return kind.validate_json(path.read_bytes())
    except OSError as error:
        raise InvalidInputError(f"cannot read {path} ({error.strerror}); run `knockguard study` again") from None
    except ValidationError as error:
        raise InvalidInputError(f"{path} holds no study ({error.error_count()} faults); run `knockguard study` again") from None
