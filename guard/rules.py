"""Rules: which policy stands on a row, by its flag, its tenant and its model. The first rule that matches wins.

    [[rule]]
    when = { flagged = true, tenant = "free" }   # what is left out matches everything
    policy = "shuffle"
    options = {}

A row that no rule matches gets the victim's own answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from guard.errors import ConfigError
from guard.policies.base import Policy, Rows
from guard.policies.observe import Observe
from guard.policies.registry import POLICIES
from guard.settings import explain, from_options, keys_of
from guard.toml_file import read_toml
from guard.types import Action, ApplyTo, Bools, Floats


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class When(_Frozen):
    """What a rule asks of a row; None asks nothing. Names match whole and by case."""

    flagged: bool | None = Field(default=None, strict=True)
    tenant: str | None = None
    model: str | None = None

    def matches(self, flagged: bool, tenant: str | None, model: str) -> bool:
        """Say whether a row of this caller and model is meant; a caller without a name matches no named tenant."""
        return self.flagged in (None, flagged) and self.tenant in (None, tenant) and self.model in (None, model)

    def covers(self, other: "When") -> bool:
        """Say whether every row that `other` matches is matched here too."""
        return all(mine is None or mine == theirs for (_, mine), (_, theirs) in zip(self, other, strict=True))


class Rule(_Frozen):
    """One `[[rule]]`, as it is written."""

    when: When = When()
    policy: str
    options: dict[str, float | int | str | bool] = {}


class RulesFile(_Frozen):
    """The whole file."""

    rule: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The policies of one request: a request has one tenant and one model, so only the flag varies from row to row."""

    flagged: Policy
    unflagged: Policy

    @classmethod
    def of(cls, policy: Policy, apply_to: ApplyTo) -> "Choice":
        """Return the choice that needs no rules: one policy, and the rows that it answers."""
        return cls(
            flagged=Observe() if apply_to is ApplyTo.NOBODY else policy,
            unflagged=policy if apply_to is ApplyTo.ALL else Observe(),
        )

    @property
    def policies(self) -> tuple[Policy, Policy]:
        return self.flagged, self.unflagged

    def answer(self, rows: Rows, flagged: Bools) -> Floats:
        """Return (n, k) answers to rows of which (n,) are flagged.

        Both policies answer every row and the result is chosen afterwards, so a flagged row takes as long as any other.
        """
        if self.flagged == self.unflagged:
            return self.flagged.answer(rows)
        return np.where(flagged[:, None], self.flagged.answer(rows), self.unflagged.answer(rows))

    def actions(self, flagged: Bools) -> tuple[Action, ...]:
        """Return what is done to each of (n,) rows."""
        on_flagged, on_others = _action(self.flagged), _action(self.unflagged)
        return tuple(on_flagged if f else on_others for f in flagged.tolist())

    def names(self, flagged: Bools) -> tuple[str, ...]:
        """Return the name of the policy that stands on each of (n,) rows."""
        return tuple(self.flagged.name if f else self.unflagged.name for f in flagged.tolist())


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules with their policies built: a pure function from flag, tenant and model to a policy."""

    rules: tuple[tuple[When, Policy], ...]
    fallback: Policy = field(default_factory=Observe)

    @classmethod
    def read(cls, path: Path) -> "Rules":
        """Read a TOML file; ConfigError says what is wrong with it and where."""
        document = read_toml(path, whose="the rules at", kind="rules")
        try:
            return cls.of(document)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Rules":
        """Build rules from a parsed document; ConfigError names a bad key or option and the nearest good one.

        A rule that no row can reach, because an earlier one matches all that it does, is an error too: it is never meant.
        """
        try:
            written = RulesFile.model_validate(dict(document)).rule
        except ValidationError as error:
            raise ConfigError(explain(error, keys_of(RulesFile))) from None
        for later, earlier in product(range(len(written)), repeat=2):
            if earlier < later and written[earlier].when.covers(written[later].when):
                raise ConfigError(f"rule.{later} is never reached: rule.{earlier} matches every row that it does; move it up")
        return cls(tuple((rule.when, _build(rule, f"rule.{i}")) for i, rule in enumerate(written)))

    def choose(self, flagged: bool, tenant: str | None, model: str) -> Policy:
        """Return the policy of the first rule that matches, or observe."""
        return next((policy for when, policy in self.rules if when.matches(flagged, tenant, model)), self.fallback)

    def for_request(self, tenant: str | None, model: str) -> Choice:
        """Return what `choose` says of a request's rows: flagged ones and others."""
        return Choice(flagged=self.choose(True, tenant, model), unflagged=self.choose(False, tenant, model))

    def choices(self, model: str) -> Sequence[Choice]:
        """Return what callers of a model meet: one without a name, and each that a rule names."""
        named = dict.fromkeys(when.tenant for when, _ in self.rules)
        return [self.for_request(tenant, model) for tenant in {None: None, **named}]

    def policies(self, model: str) -> Sequence[Policy]:
        """Return every policy that can stand on a row of this model."""
        return (*(policy for when, policy in self.rules if when.model in (None, model)), self.fallback)


def _build(rule: Rule, where: str) -> Policy:
    try:
        kind = POLICIES.get(rule.policy)
        return from_options(kind, rule.options, what=f"policy {rule.policy!r}")
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _action(policy: Policy) -> Action:
    if policy.traits.refuses:
        return Action.REFUSE
    return Action.ALTER if policy.l1_budget > 0 else Action.ANSWER
