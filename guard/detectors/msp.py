"""Maximum softmax probability: how unsure the victim is of its best guess."""

from dataclasses import dataclass
from typing import ClassVar

from guard.detectors.base import Detector, FitData
from guard.detectors.head import Head, HeadBuilder


@dataclass(frozen=True, slots=True)
class Msp(Detector):
    """Minus the largest probability.

    Score: -1 to -1/k, no unit; nothing is fitted. Source: Hendrycks and Gimpel 2017, section 3; a baseline in
    Atli et al., table 4.
    """

    name: ClassVar[str] = "msp"
    taps: ClassVar[tuple[str, ...]] = ("probabilities",)

    def fit(self, data: FitData) -> Head:
        """Return the formula as a head; the data are not looked at."""
        g = HeadBuilder()
        return g.head(score=g.neg(g.reduce_max(g.tap("probabilities"), axis=1)))
