"""The attacks by name. A new one is a file beside this one and a row here."""

from evaluation.attacks.base import Attack
from guard.registry import Registry

ATTACKS: Registry[Attack] = Registry(
    "attack",
    Attack,  # type: ignore[type-abstract]  # the base is only compared against
    {
        "knockoff": "evaluation.attacks.knockoff:Knockoff",
        "knockoff-adaptive": "evaluation.attacks.knockoff_adaptive:KnockoffAdaptive",
        "copycat": "evaluation.attacks.copycat:Copycat",
        "activethief-uncertainty": "evaluation.attacks.activethief_uncertainty:ActiveThiefUncertainty",
        "activethief-kcenter": "evaluation.attacks.activethief_kcenter:ActiveThiefKCenter",
        "jbda": "evaluation.attacks.jbda:Jbda",
        "in-distribution": "evaluation.attacks.in_distribution:InDistribution",
        "mixture": "evaluation.attacks.mixture:Mixture",
        "balanced": "evaluation.attacks.balanced:Balanced",
        "confidence-filtered": "evaluation.attacks.confidence_filtered:ConfidenceFiltered",
    },
)


def customary_adversary(name: str) -> str:
    """Return what an attack's authors do with its answers; what most do for a name that there is not."""
    kind = ATTACKS.get(name) if name in set(ATTACKS) else Attack
    return kind.customary_adversary
