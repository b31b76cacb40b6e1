"""The adversaries by name. A new one is a file beside this one and a row here."""

from evaluation.adversaries.base import Adversary
from guard.registry import Registry

ADVERSARIES: Registry[Adversary] = Registry(
    "adversary",
    Adversary,  # type: ignore[type-abstract]  # the base is only compared against
    {
        "soft": "evaluation.adversaries.soft:Soft",
        "labels-only": "evaluation.adversaries.labels_only:LabelsOnly",
        "noise-corrected": "evaluation.adversaries.noise_corrected:NoiseCorrected",
        "drop-suspicious": "evaluation.adversaries.drop_suspicious:DropSuspicious",
        "averaging": "evaluation.adversaries.averaging:Averaging",
        "matched": "evaluation.adversaries.matched:Matched",
        "sybil": "evaluation.adversaries.sybil:Sybil",
    },
)
