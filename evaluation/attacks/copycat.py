"""Copycat: random natural images, and of each answer the label alone."""

from dataclasses import dataclass
from typing import ClassVar

from evaluation.attacks.knockoff import Knockoff


@dataclass(frozen=True, slots=True)
class Copycat(Knockoff):
    """Ask about the pool's images in random order, as `knockoff` does, and believe labels only.

    What tells the two apart is the adversary, so this attack's customary one is `labels-only`; with the same one they are one
    attack. Source: Correia-Silva et al. 2018.
    """

    name: ClassVar[str] = "copycat"
    customary_adversary: ClassVar[str] = "labels-only"

    @property
    def asking(self) -> str:
        return Knockoff().asking
