"""The attacks by name. A new one is a file beside this one and a row here."""

from evaluation.attacks.base import Attack
from guard.registry import Registry

ATTACKS: Registry[Attack] = Registry(
    "attack",
    Attack,  # type: ignore[type-abstract]  # the base is only compared against
    {
        "knockoff": "evaluation.attacks.knockoff:Knockoff",
    },
)
