"""What an experiment file says: victims, copiers, detectors, policies, attacks, and the grid that they span.

Every model here is frozen and refuses keys that it does not know; `evaluation.experiment_reading` turns a TOML file into one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from evaluation.attacks.registry import customary_adversary
from evaluation.client_limits import ClientLimits
from evaluation.optimiser import Optimiser, Weights
from evaluation.pools import PoolChoice
from guard.types import ApplyTo

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9*._-]*$", max_length=60)]  # it becomes a part of file names
Kinds = Annotated[str, Field(pattern=r"^n\d{8}(-n\d{8})?$")]  # a WordNet id, or a range of them: they are numbered by topic
Count = Annotated[int, Field(ge=1, strict=True)]
Share = Annotated[float, Field(gt=0, lt=1)]
Part = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Training(_Frozen):
    """The rate is multiplied by `drop_to` every `drop_every` epochs; without that it rises to `lr` and falls to nothing."""

    epochs: Count
    batch_size: Count = 64
    optimiser: Optimiser = Optimiser.ADAMW
    lr: Rate = 3e-3
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3
    drop_every: Count | None = None
    drop_to: Share = 0.1


class Network(_Frozen):
    """An architecture by its registered name, and how it is trained."""

    name: Name
    architecture: Name
    weights: Weights = Weights.NONE
    training: Training


class Shares(_Frozen):
    """How the victim's training split is divided; what its owner tests on is the published test split.

    `detector` fits detectors and tells the matched chain of sizes, `calibration` sets thresholds; a run that needs neither may
    give the victim everything (`victim = 1.0, detector = 0.0, calibration = 0.0`).
    `adversary` is what a thief has of the victim's own kind of image, for the attacks that ask with it.
    """

    victim: Annotated[float, Field(gt=0, le=1)] = 0.7
    detector: Part = 0.2
    calibration: Part = 0.1
    adversary: Part = 0.0

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        if (total := self.victim + self.detector + self.calibration + self.adversary) > 1 + 1e-9:
            raise ValueError(f"shares sum to {total:g}; an image stands on one side, so at most 1")
        return self


class Victim(Network):
    """`set` at `size` pixels a side. `n_train` and `n_test` bound how many images of a split are used: a stratified draw,
    made before the training split is divided. All by default.

    `name` is the paper's where the paper has the cell (`CIFAR10-RN34`). `balance` repeats rare classes, augmented. `own_kinds`
    are classes of the out pools that the victim has too, by WordNet id: no detector learns that they are out, and no study tests
    one on them.
    """

    set: Name
    size: Annotated[int, Field(ge=8, le=1024)]
    n_train: Count | None = None
    n_test: Count | None = None
    balance: bool = False
    own_kinds: tuple[Kinds, ...] = ()
    shares: Shares = Shares()


class Surrogate(Network):
    """The copy; it learns at the victim's image size."""


class Plugin(_Frozen):
    """A registered member with options. In a file `"energy"` says the same as `{name = "energy"}`."""

    name: Name
    options: dict[str, float | int | str | bool] = {}

    @property
    def label(self) -> str:
        """Return what tells this member from others of the grid: its name and its options."""
        return _label(self.name, self.options)


class Policy(Plugin):
    """`apply_to` are the rows that the policy answers: flagged ones, all, or nobody's."""

    apply_to: ApplyTo = ApplyTo.FLAGGED

    @property
    def label(self) -> str:
        """Return the label, with the rows that are answered where they are not the flagged ones."""
        plain = _label(self.name, self.options)
        return plain if self.apply_to is ApplyTo.FLAGGED else f"{plain}@{self.apply_to}"


def _label(name: str, options: Mapping[str, float | int | str | bool]) -> str:
    return "-".join([name, *(f"{key}={value}" for key, value in sorted(options.items()))])


def _short(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Named = Annotated[Plugin, BeforeValidator(_short)]


class Asking(Plugin):
    """An attack; the `adversaries` that it names are met instead of the file's."""

    adversaries: tuple[Named, ...] = ()


Attacking = Annotated[Asking, BeforeValidator(_short)]
Answering = Annotated[Policy, BeforeValidator(_short)]


class ChainPlan(_Frozen):
    """The matched chain: with `matched` both sides are reduced and compressed alike before anything is compared.

    `side` None: chosen from the sources, below what the smaller one has.
    """

    matched: bool = True
    side: Annotated[int, Field(ge=12)] | None = None
    quality_low: Annotated[int, Field(ge=1, le=95)] = 70
    quality_high: Annotated[int, Field(ge=1, le=95)] = 95

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.quality_low > self.quality_high:
            raise ValueError(f"quality_low {self.quality_low} is above quality_high {self.quality_high}")
        return self


@dataclass(frozen=True, slots=True)
class Cell:
    """One point of the grid: one victim answers one attack under one policy, and one adversary learns from it.

    `detector` is None where none is asked for. Cells that differ only in `budget` share a transfer set: the smaller one's queries
    are the first of the larger one's.
    """

    victim: Victim
    surrogate: Surrogate
    detector: Plugin | None
    policy: Policy
    attack: Plugin
    adversary: Plugin
    budget: int
    seed: int

    @property
    def id(self) -> str:
        """Return a name for files and logs; no other cell of the experiment has it."""
        who = (self.victim.name, self.surrogate.name, self.detector.label if self.detector else "none")
        return "/".join([*who, self.policy.label, self.attack.label, self.adversary.label, f"b{self.budget}", f"s{self.seed}"])


class Experiment(_Frozen):
    """The whole file. `figures` names the paper's table that a report prints beside, `differs` what is not the same there.

    `budgets` are queries, ascending. `target_fpr` is what thresholds are calibrated to. Without surrogates and budgets nothing is
    stolen, and detectors alone are measured. Without `adversaries` each attack meets its customary one. `limits` are clients'.
    """

    title: str
    figures: tuple[Name, ...] = ()
    differs: tuple[str, ...] = ()
    victims: Annotated[tuple[Victim, ...], Field(min_length=1)]
    surrogates: tuple[Surrogate, ...] = ()
    pool: PoolChoice = PoolChoice()
    chain: ChainPlan = ChainPlan()
    detectors: tuple[Named, ...] = ()
    target_fpr: Share = 0.05
    policies: Annotated[tuple[Answering, ...], Field(min_length=1)] = (Policy(name="observe"),)
    attacks: Annotated[tuple[Attacking, ...], Field(min_length=1)] = (Asking(name="knockoff"),)
    adversaries: tuple[Named, ...] = ()
    limits: ClientLimits = ClientLimits()
    budgets: tuple[Count, ...] = ()
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        idle = [p.name for p in self.policies if p.apply_to is ApplyTo.FLAGGED and p.name != "observe"]
        if idle and not self.detectors:
            raise ValueError(
                f"policy {idle[0]!r} answers flagged rows, and there is no detector to flag any; name one, or apply_to"
            )
        if bool(self.surrogates) != bool(self.budgets):
            raise ValueError("surrogates and budgets go together: give both, or neither to measure detectors alone")
        if not self.surrogates and not self.detectors:
            raise ValueError("there is nothing to measure; give surrogates and budgets, or detectors")
        if list(self.budgets) != sorted(set(self.budgets)):
            raise ValueError(f"budgets are {list(self.budgets)}; write them ascending, each once")
        for victim in self.victims:
            if self.detectors and not (victim.shares.detector and victim.shares.calibration):
                raise ValueError(f"{victim.name} has no images to fit or to calibrate detectors; give them shares above 0")
            if self.chain.matched and not victim.shares.detector:
                raise ValueError(f"the matched chain is made from {victim.name}'s share `detector`; give it one above 0")
        ids = [cell.id for cell in self.cells()]
        if len(set(ids)) < len(ids):
            raise ValueError("two cells of the grid are the same; name victims and surrogates apart, and list nothing twice")
        return self

    def cells(self) -> Iterator[Cell]:
        """Yield the grid in a fixed order. `observe` ignores flags, so it stands once a victim, whatever the detectors."""
        for victim, surrogate, policy in product(self.victims, self.surrogates, self.policies):
            flags = policy.apply_to is ApplyTo.FLAGGED and policy.name != "observe"
            detectors: tuple[Plugin | None, ...] = self.detectors if flags else (self.detectors[0] if self.detectors else None,)
            thieves = [(attack, adversary) for attack in self.attacks for adversary in self.adversaries_of(attack)]
            for detector, (attack, adversary), budget, seed in product(detectors, thieves, self.budgets, self.seeds):
                yield Cell(victim, surrogate, detector, policy, attack, adversary, budget, seed)

    def adversaries_of(self, attack: Asking) -> tuple[Plugin, ...]:
        """Return who learns from an attack's answers: whom it names, else whom the file names, else its authors' way."""
        return attack.adversaries or self.adversaries or (Plugin(name=customary_adversary(attack.name)),)

    def names(self) -> Mapping[str, frozenset[str]]:
        """Return every registered name that the file uses, by the word for its family: dataset, architecture, detector, ..."""
        return {
            "dataset": frozenset({v.set for v in self.victims} | {s for s in (self.pool.set, self.pool.second) if s}),
            "architecture": frozenset(n.architecture for n in (*self.victims, *self.surrogates)),
            "detector": frozenset(p.name for p in self.detectors),
            "policy": frozenset(p.name for p in self.policies),
            "attack": frozenset(p.name for p in self.attacks),
            "adversary": frozenset(p.name for attack in self.attacks for p in self.adversaries_of(attack)),
        }
