"""results.json: what one run of the demo or of an evaluation measured, typed, frozen and versioned.

Every accuracy in it is *balanced* accuracy: the mean over classes of the share of that class's images which got their own
label, so that chance is one over the number of classes whatever the mixture. Shares lie in 0..1; `recovery` is surrogate over
victim accuracy; `net_recovery` takes chance from both first. Counts (`flagged`, `benign_flagged`) stand beside the n they are of.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from evaluation.documents import read_document, write_document
from guard.calibration import Threshold
from guard.rate import Rate

RESULTS = "results.json"
UNDEFENDED = "observe"  # the policy that changes no answer

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Interval = tuple[Share, Share]  # 95 %: Wilson's for rates, the bootstrap's for balanced accuracies


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VictimResult(_Frozen):
    """The served model on its own test images: unguarded, or `through_guard`, as a client of an endpoint meets it.

    Where test images were cut from the same pictures, `groups` says how many there were, and every interval is of so many.
    """

    accuracy: Share
    chance: Share
    n_test: Count
    architecture: str
    labels: tuple[str, ...] = ()
    recalls: tuple[Share | None, ...] = ()  # by class; None where the test has no image of it
    through_guard: bool = False
    interval: Interval | None = None
    groups: Count | None = None


class DetectorResult(_Frozen):
    """What a threshold flagged: `tpr` of `n_out` out images, `fpr` of `n_in` in images; none of them fitted or calibrated it.

    Images that were cut from the same picture are no independent cases: `in_groups` and `out_groups` then say how many pictures
    there were, and the intervals are those of so many groups.
    """

    name: str
    tpr: Share
    fpr: Share
    n_in: Count
    n_out: Count
    tpr_interval: Interval
    fpr_interval: Interval
    target_fpr: Share
    threshold: Number | None = None  # in units of the score
    n_calibration: Count | None = None
    in_groups: Count | None = None
    out_groups: Count | None = None
    auroc: Share | None = None

    @classmethod
    def of(cls, name: str, *, tpr: Rate, fpr: Rate, threshold: Threshold, auroc: float | None = None) -> "DetectorResult":
        """Put together what a calibrated threshold did; ValidationError if there was no image on either side."""
        return cls(
            name=name,
            tpr=tpr.value,
            fpr=fpr.value,
            n_in=fpr.n,
            n_out=tpr.n,
            tpr_interval=(tpr.low, tpr.high),
            fpr_interval=(fpr.low, fpr.high),
            target_fpr=threshold.target_fpr,
            threshold=threshold.value,
            n_calibration=threshold.n,
            in_groups=fpr.n_groups,
            out_groups=tpr.n_groups,
            auroc=auroc,
        )


class PolicyResult(_Frozen):
    """One attack under one policy, by a client of its own, and what the same policy did to benign clients.

    `budget_curve` holds (queries, recovery) of copies trained on the first so many answers. Where several were trained a
    budget, every figure is their mean, and `curve_copies` holds the recovery of each, point by point. Fidelity is the
    agreement of top labels with the *undefended* victim. Who attacks somebody else's endpoint sees neither flags nor benign
    clients: `flagged` and `benign_accuracy` are None then, and so is `fidelity` without the victim's own model.
    `net_recovery` is None when the victim, as it was measured, is not above chance. `answers` counts the answers' top labels by
    class, `recalls` is the copies' accuracy by class: figure 1. The intervals are those of the test images, for these copies:
    another training may differ by more.
    """

    policy: str
    surrogate_accuracy: Share
    recovery: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    queries: Count
    net_recovery: Number | None = None
    fidelity: Share | None = None
    flagged: Count | None = None
    recovery_interval: tuple[Number, Number] | None = None
    benign_accuracy: Share | None = None
    benign_interval: Interval | None = None
    benign_flagged: Count = 0
    benign_n: Count = 0
    budget_curve: tuple[tuple[Count, Number], ...] = ()
    curve_copies: tuple[tuple[Number, ...], ...] = ()
    answers: tuple[Count, ...] = ()
    recalls: tuple[Share | None, ...] = ()
    apply_to: str = "flagged"
    attack: str = "knockoff"
    adversary: str = "soft"

    @model_validator(mode="after")
    def _counts_fit(self) -> Self:
        if (self.flagged or 0) > self.queries or self.benign_flagged > self.benign_n:
            raise ValueError(
                f"{self.policy}: {self.flagged} of {self.queries} queries and {self.benign_flagged} of {self.benign_n} "
                "benign ones flagged; a count cannot exceed its n"
            )
        if self.curve_copies and len(self.curve_copies) != len(self.budget_curve):
            raise ValueError(
                f"{self.policy}: {len(self.curve_copies)} groups of copies for {len(self.budget_curve)} points of the curve"
            )
        return self

    @property
    def copies(self) -> tuple[float, ...]:
        """Return the recovery of each copy that was trained on all of `queries`, where more than the mean is known."""
        points = zip(self.budget_curve, self.curve_copies, strict=False)
        return next((copies for (queries, _), copies in points if queries == self.queries), ())


class Results(_Frozen):
    """A whole run. `settings` says what was run, in plain JSON; `stage_seconds` what it cost."""

    format_version: Literal[1] = 1
    command: str  # the words that make this run again
    created: str  # ISO 8601, UTC
    victim: VictimResult
    detector: DetectorResult | None = None  # the one that decided; unknown from outside
    baseline: DetectorResult | None = None  # statistics that know nothing of content, thresholded the same way
    policies: Annotated[tuple[PolicyResult, ...], Field(min_length=1)]
    other_detectors: tuple[DetectorResult, ...] = ()
    versions: dict[str, str]
    seeds: dict[str, int]
    stage_seconds: dict[str, Number]
    reused: tuple[str, ...] = ()  # stages that an earlier run had finished; their seconds are those of reading
    settings: dict[str, JsonValue]

    @property
    def undefended(self) -> PolicyResult | None:
        """Return the run under the policy that changes nothing, if there was one."""
        return next((p for p in self.policies if p.policy == UNDEFENDED), None)

    @property
    def strongest(self) -> PolicyResult | None:
        """Return the defended run that left the copier least, if there was one."""
        defended = [p for p in self.policies if p.policy != UNDEFENDED]
        return min(defended, key=lambda p: p.recovery, default=None)


def write_results(results: Results, path: Path) -> None:
    """Write the JSON document, whole or not at all."""
    write_document(results, path)


def read_results(path: Path) -> Results:
    """Read a results.json, or the one in a folder; InvalidInputError says what is wrong with it."""
    return read_document(Results, path, name=RESULTS, origin="`knockguard demo`, `attack` and `evaluate` write one")
