"""The detectors that only a study can measure, by name."""

from evaluation.offline.base import OfflineDetector
from guard.registry import Registry

OFFLINE: Registry[OfflineDetector] = Registry(
    "offline detector",
    OfflineDetector,  # type: ignore[type-abstract]  # the base is only compared against
    {"odin": "evaluation.offline.odin:Odin"},
)
