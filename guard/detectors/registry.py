"""The detectors by name. A new one is a file beside this one and a row here."""

from guard.detectors.base import Detector
from guard.registry import Registry

DETECTORS: Registry[Detector] = Registry(
    "detector",
    Detector,  # type: ignore[type-abstract]  # the base is only compared against
    {
        "linear": "guard.detectors.linear:Linear",
        "energy": "guard.detectors.energy:Energy",
        "msp": "guard.detectors.msp:Msp",
    },
)
