"""Linear, late: the logistic regression on the deeper half of the stages, where codec and resampling leave the least trace."""

from dataclasses import dataclass
from typing import ClassVar

from guard.detectors.base import FitData, stage_names
from guard.detectors.linear import Linear


@dataclass(frozen=True, slots=True)
class LinearLate(Linear):
    """Log-odds of being out, linear in the mean and deviation of each channel of the deeper half of the stages.

    Of an odd number of stages the middle one counts as deep. Score: natural log-odds. Source: ours, as `linear`.
    """

    name: ClassVar[str] = "linear-late"

    def reads(self, data: FitData) -> list[str]:
        stages = stage_names(data.features)
        return stages[len(stages) // 2 :]
