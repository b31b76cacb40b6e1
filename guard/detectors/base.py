"""What a detector is: a name, the taps it reads, and `fit`, from features to a head."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from guard.detectors.head import Head
from guard.errors import FitError
from guard.registry import nearest
from guard.types import Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class FitData:
    """What detectors are fitted on: tap name -> (n, d) float32, for in and for out images.

    `labels` (n,) are the in images' classes, 0 to `n_classes` - 1. Out images have none. None of these images calibrates
    or tests a threshold. FitError unless every tap has a row for each image, all values are finite, and both sides have the
    same widths.
    """

    features: Mapping[str, Floats]
    labels: Ints
    n_classes: int
    out_features: Mapping[str, Floats]
    overlap: Bools | None = None
    views: int = 1

    def __post_init__(self) -> None:
        for name, features in self.features.items():
            _check_features("in", name, features, n=len(self.labels))
            if not len(features):
                raise FitError("there are no in images; give some of the victim's own kind")
        if self.out_features and self.out_features.keys() != self.features.keys():
            odd = sorted(self.out_features.keys() ^ self.features.keys())
            raise FitError(f"only one side has {', '.join(odd)}; take in and out features from one graph")
        n_out = next((len(features) for features in self.out_features.values()), 0)
        for name, features in self.out_features.items():
            _check_features("out", name, features, n=n_out)
            if features.shape[1] != (width := self.features[name].shape[1]):
                raise FitError(
                    f"{name} has {width} numbers for in images and {features.shape[1]} for out images; take both from one graph"
                )
        if self.overlap is not None and self.overlap.shape != self.labels.shape:
            raise FitError(f"overlap has shape {self.overlap.shape} for {len(self.labels)} in images; give one truth an image")
        if self.n_classes < 2:
            raise FitError(f"n_classes is {self.n_classes}; a classifier has at least 2")
        bad = np.flatnonzero((self.labels < 0) | (self.labels >= self.n_classes))
        if len(bad):
            raise FitError(
                f"in image {bad[0]} has label {self.labels[bad[0]]} ({len(bad)} such); labels are 0 to {self.n_classes - 1}"
            )

    def tap(self, name: str) -> Floats:
        """Return the in images' features (n, d) of one tap; FitError if the victim's graph does not have it."""
        if name not in self.features:
            raise FitError(f"the victim's graph has no {name!r}{nearest(name, self.features)}")
        return self.features[name]


class Detector(ABC):
    """Hyper-parameters are the constructor's; what is learned is the `Head` that `fit` returns.

    `taps` are read from the victim: "logits", "probabilities", "penultimate", or "stages" for every pooled stage
    that the graph has; "network" stands for a network beside it. `needs_out` tells whether `fit` looks at out images.
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


def _check_features(side: str, name: str, features: Floats, *, n: int) -> None:
    if features.ndim != 2 or len(features) != n:
        raise FitError(f"{name} of {side} images has shape {features.shape}; it must be (n, d) with {n} rows, one an image")
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise FitError(
            f"{name} of {side} image {bad[0]} holds values that are not finite ({len(bad)} such images); the victim cannot "
            "answer them, so look at its precision and at how images are scaled"
        )
