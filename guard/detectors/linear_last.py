"""Linear, last: the logistic regression on what the victim's last layer reads and says."""

from dataclasses import dataclass
from typing import ClassVar

from guard.detectors.base import FitData
from guard.detectors.linear import Linear


@dataclass(frozen=True, slots=True)
class LinearLast(Linear):
    """Log-odds of being out, linear in penultimate features and logits.

    Score: natural log-odds. Source: ours; the nearest to the paper's RN*LR that needs no network of its own.
    """

    name: ClassVar[str] = "linear-last"
    taps: ClassVar[tuple[str, ...]] = ("penultimate", "logits")

    def reads(self, data: FitData) -> list[str]:
        return list(self.taps)
