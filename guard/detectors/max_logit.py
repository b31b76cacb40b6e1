"""Maximum logit: how much evidence the victim has for its best guess, before softmax takes the scale away."""

from dataclasses import dataclass
from typing import ClassVar

from guard.detectors.base import Detector, FitData
from guard.detectors.head import Head, HeadBuilder


@dataclass(frozen=True, slots=True)
class MaxLogit(Detector):
    """Minus the largest logit.

    Score: in units of the logits; nothing is fitted. Source: Hendrycks et al. 2022, section 3.
    """

    name: ClassVar[str] = "max-logit"
    taps: ClassVar[tuple[str, ...]] = ("logits",)

    def fit(self, data: FitData) -> Head:
        """Return the formula as a head; the data are not looked at."""
        g = HeadBuilder()
        return g.head(score=g.neg(g.reduce_max(g.tap("logits"), axis=1)))
