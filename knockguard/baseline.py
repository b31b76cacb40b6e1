"""The baseline of a bundle's detectors: what statistics that know nothing of content make of the images that test them."""

from dataclasses import dataclass

from evaluation.baseline import Traces
from guard.rate import Rate
from guard.types import Floats
from knockguard.protect import Material


@dataclass(frozen=True, slots=True)
class Baseline:
    """What it flagged of the test images, and the scores of its strongest reader.

    Near the false-positive rate, what a detector reaches beyond it is content; where `tpr` is high, it is file format.
    """

    tpr: Rate
    fpr: Rate
    in_scores: Floats
    out_scores: Floats


def measure_baseline(material: Material, *, target_fpr: float) -> Baseline:
    """Measure it on the test images where it flags `target_fpr` of the in ones; InvalidInputError if they are too few."""
    traces = Traces.of(material.in_test, material.out_test, seed=0)
    found, name = traces.measure(target_fpr, seed=0), traces.strongest()
    return Baseline(found.tpr, found.fpr, traces.inside[name], traces.outside[name])
