"""What a detector is: a name, the taps it reads, and `fit`, from features to a head."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from guard.detectors.head import Head
from guard.types import Floats, Ints


@dataclass(frozen=True, slots=True)
class FitData:
    """What detectors are fitted on: tap name -> (n, d) float32, for in and for out images.

    `labels` (n,) are the in images' classes, 0 to `n_classes` - 1. Out images have none. None of these images calibrates
    or tests a threshold.
    """

    features: Mapping[str, Floats]
    labels: Ints
    n_classes: int
    out_features: Mapping[str, Floats]


class Detector(ABC):
    """Hyper-parameters are the constructor's; what is learned is the `Head` that `fit` returns.

    `taps` are read from the victim: "logits", "probabilities", "penultimate", or "stages" for every pooled stage
    that the graph has. `needs_out` tells whether `fit` looks at out images.
    """

    name: ClassVar[str]
    taps: ClassVar[tuple[str, ...]]
    needs_out: ClassVar[bool] = False

    @abstractmethod
    def fit(self, data: FitData) -> Head:
        """Return a head whose score is (n,) float32, higher = more out; FitError if the data do not do."""


def stage_names(features: Mapping[str, Floats]) -> list[str]:
    """Return the pooled stages among the features, shallow to deep: stage1, stage2, ..."""
    return sorted((n for n in features if n.startswith("stage")), key=lambda n: int(n.removeprefix("stage")))
