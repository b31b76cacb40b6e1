"""Energy: how little evidence the victim's logits hold for any class."""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np

from guard.detectors.base import Detector, FitData
from guard.detectors.head import Head, HeadBuilder
from guard.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Energy(Detector):
    """-T log sum exp(logits / T).

    Score: in units of the logits; nothing is fitted. Source: Liu et al. 2020, eq. 4.
    """

    name: ClassVar[str] = "energy"
    taps: ClassVar[tuple[str, ...]] = ("logits",)
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < inf:
            raise ConfigError(f"energy: temperature is {self.temperature}; it must be finite and greater than 0 (usual: 1)")

    def fit(self, data: FitData) -> Head:
        """Return the formula as a head; the data are not looked at."""
        t = np.array(self.temperature)
        g = HeadBuilder()
        return g.head(score=g.mul(g.reduce_log_sum_exp(g.div(g.tap("logits"), t), axis=1), -t))
