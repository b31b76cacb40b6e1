"""Policies that move an answer within a budget: one home for the budget and for what it may be."""

from dataclasses import dataclass

from guard.errors import ConfigError
from guard.policies.base import Policy


@dataclass(frozen=True, slots=True)
class Budgeted(Policy):
    """A policy whose answers stay within `epsilon` of the victim's, in L1; ConfigError for a budget that bounds nothing."""

    epsilon: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.epsilon <= 2:
            raise ConfigError(f"{self.name}: epsilon is {self.epsilon}; it must be above 0 and at most 2, an L1 distance")

    @property
    def l1_budget(self) -> float:
        return self.epsilon
