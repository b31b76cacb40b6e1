"""The detectors by name. A new one is a file beside this one and a row here."""

from guard.detectors.base import Detector
from guard.registry import Registry

DETECTORS: Registry[Detector] = Registry(
    "detector",
    Detector,  # type: ignore[type-abstract]  # the base is only compared against
    {
        "linear": "guard.detectors.linear:Linear",
        "two-sided": "guard.detectors.two_sided:TwoSided",
        "linear-late": "guard.detectors.linear_late:LinearLate",
        "linear-last": "guard.detectors.linear_last:LinearLast",
        "energy": "guard.detectors.energy:Energy",
        "msp": "guard.detectors.msp:Msp",
        "max-logit": "guard.detectors.max_logit:MaxLogit",
        "gen": "guard.detectors.gen:Gen",
        "mahalanobis": "guard.detectors.mahalanobis:Mahalanobis",
        "relative-mahalanobis": "guard.detectors.relative_mahalanobis:RelativeMahalanobis",
        "knn": "guard.detectors.knn:Knn",
        "vim": "guard.detectors.vim:Vim",
        "frozen-lr": "guard.detectors.frozen_lr:FrozenLr",
        "scratch": "guard.detectors.scratch:Scratch",
    },
)
