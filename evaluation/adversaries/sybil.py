"""Sybil: one thief, many clients."""

from dataclasses import dataclass
from typing import ClassVar

from evaluation.adversaries.disguise import Disguise
from guard.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Sybil(Disguise):
    """Ask with `identities` clients in turn, row by row, so that each of them asks little, and of all the attack's kinds.

    Counts against evidence that is kept by client. What an identity costs is not modelled. Source: Atli et al. name it as out of
    reach of any count by client; Douceur 2002.
    """

    name: ClassVar[str] = "sybil"
    identities: int = 8

    def __post_init__(self) -> None:
        if self.identities < 1:
            raise ConfigError(f"identities {self.identities}; must be at least 1")

    @property
    def n_clients(self) -> int:
        return self.identities
