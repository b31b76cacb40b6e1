"""The baseline of a bundle's detectors: statistics that know nothing of content, fitted, calibrated and tested as they are."""

from dataclasses import dataclass

from evaluation.lowlevel import fit_low_level
from guard.calibration import calibrate
from guard.rate import Rate
from guard.types import Floats
from knockguard.protect import Material


@dataclass(frozen=True, slots=True)
class Baseline:
    """What it flagged of the test images, and its scores of them.

    Near the false-positive rate, what a detector reaches beyond it is content; where `tpr` is high, it is file format.
    """

    tpr: Rate
    fpr: Rate
    in_scores: Floats
    out_scores: Floats


def measure_baseline(material: Material, *, target_fpr: float) -> Baseline:
    """Fit it on the detectors' images; its threshold is the strictest of the calibration sets'."""
    fitted = fit_low_level(material.in_fit, material.out_fit)
    thresholds = [calibrate(fitted.scores(pixels), target_fpr=target_fpr) for pixels in material.calibration.values()]
    threshold = max(thresholds, key=lambda t: t.value)
    inside, outside = fitted.scores(material.in_test), fitted.scores(material.out_test)
    return Baseline(Rate.of(threshold.flags(outside)), Rate.of(threshold.flags(inside)), inside, outside)
