"""evaluation.json: what an experiment file's run measured, victim by victim and cell by cell; typed, frozen and versioned.

Every accuracy is balanced, every share lies in 0..1, every count stands beside its n. Victims are measured without their guard.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from evaluation.documents import read_document, write_document
from evaluation.metrics import auroc
from evaluation.roc import MAX_POINTS, roc
from guard.rate import Rate
from guard.types import Floats

EVALUATION = "results.json"

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Interval = tuple[Number, Number]  # 95 %


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DetectorRow(_Frozen):
    """What a detector's own threshold flagged: `tpr` of `n_out` images of the attack's pool, `fpr` of `n_in` test images.

    `roc` is what other thresholds would reach, (FPR, TPR), on the same images; files of older versions have none.
    """

    name: str
    tpr: Share
    tpr_interval: Interval
    n_out: Count
    fpr: Share
    fpr_interval: Interval
    n_in: Count
    auroc: Share | None = None
    roc: Annotated[tuple[tuple[Share, Share], ...], Field(max_length=MAX_POINTS)] = ()

    @classmethod
    def of(cls, name: str, tpr: Rate, fpr: Rate, inside: Floats, outside: Floats) -> "DetectorRow":
        """Put two rates together with the scores, (n_in,) and (n_out,), of the images that they are of."""
        return cls(
            name=name,
            tpr=tpr.value,
            tpr_interval=(tpr.low, tpr.high),
            n_out=tpr.n,
            fpr=fpr.value,
            fpr_interval=(fpr.low, fpr.high),
            n_in=fpr.n,
            auroc=auroc(inside, outside),
            roc=roc(inside, outside),
        )


class VictimRow(_Frozen):
    """One victim of one seed, unguarded, on its own test images after whatever history `images` says they were given."""

    name: str
    set: str
    architecture: str
    weights: str
    size: Count
    seed: Count
    accuracy: Share
    accuracy_interval: Interval
    n_classes: Count
    n_train: Count
    n_test: Count
    recalls: tuple[Share | None, ...]  # by class; None where the test has no image of it
    detectors: tuple[DetectorRow, ...]
    baseline: DetectorRow | None  # statistics that know nothing of content, thresholded the same way
    images: str
    counts: dict[str, int]
    classes: tuple[str, ...] = ()

    @property
    def measured(self) -> tuple[DetectorRow, ...]:
        """Its detectors, and the baseline below them."""
        return self.detectors if self.baseline is None else (*self.detectors, self.baseline)

    @property
    def chance(self) -> float:
        """One over the number of classes."""
        return 1 / self.n_classes


class Measures(_Frozen):
    """What a copy does on test images; intervals are the bootstrap's over them: they say nothing of another training."""

    recovery: Number
    recovery_interval: Interval
    net_recovery: Number | None  # None where the victim is not above chance
    net_recovery_interval: Interval | None = None
    fidelity: Share


class CellResult(Measures):
    """One point of the grid, measured on all test images.

    `chosen_by` is the recovery on one half of them, by which the best of several cells is chosen, and `told` what the copy does
    on the other half (see `evaluation.halves`); files of older versions have neither.

    `n_flagged` of `n_asked` queries, and `benign_flagged` of `benign_n` test images sent by a customer, are None without a
    detector. `answers` counts the answers' top labels by class, `recalls` is the copy's accuracy by class: the two of figure 1.
    """

    id: str
    victim: str
    surrogate: str
    detector: str | None
    policy: str
    attack: str
    adversary: str
    budget: Count
    seed: Count
    n_asked: Count
    n_answered: Count
    n_flagged: Count | None
    surrogate_accuracy: Share
    benign_accuracy: Share
    benign_flagged: Count | None
    benign_n: Count
    answers: tuple[Count, ...]
    recalls: tuple[Share | None, ...]
    seconds: Number
    chosen_by: Number | None = None
    told: Measures | None = None


class Failure(_Frozen):
    """A cell that has no result, and why."""

    id: str
    error: str


class Evaluation(_Frozen):
    """A whole run. `settings` is the experiment as it was read; `seconds` what each stage cost in the run that did it."""

    format_version: Literal[1] = 1
    title: str
    figures: tuple[str, ...]
    differs: tuple[str, ...]
    command: str
    created: str  # ISO 8601, UTC
    victims: tuple[VictimRow, ...]
    cells: tuple[CellResult, ...]
    failures: tuple[Failure, ...]
    versions: dict[str, str]
    seconds: dict[str, Number]
    settings: dict[str, JsonValue]

    def victim_of(self, cell: CellResult) -> VictimRow:
        """Return the row of a cell's victim."""
        return next(v for v in self.victims if (v.name, v.seed) == (cell.victim, cell.seed))


def write_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Write the JSON document, whole or not at all."""
    write_document(evaluation, path)


def read_evaluation(path: Path) -> Evaluation:
    """Read an evaluation's document, or the one in a folder; InvalidInputError says what is wrong with it."""
    return read_document(Evaluation, path, name=EVALUATION, origin="`knockguard evaluate` writes one")
