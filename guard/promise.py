"""What a bundle promises: a false-positive rate, with a confidence. A threshold of too few images keeps no such promise."""

from guard.bundle import Manifest
from guard.calibration import smallest_n
from guard.errors import BundleError


def shortfall(manifest: Manifest) -> str:
    """Return what the promise of the detector that decides lacks, in words; empty where it is kept."""
    threshold = next(d.threshold for d in manifest.detectors if d.name == manifest.detector)
    needed = smallest_n(threshold.target_fpr, threshold.confidence)
    if threshold.n >= needed:
        return ""
    return (
        f"the threshold of {manifest.detector!r} is of {threshold.n} images, and a false-positive rate of "
        f"{threshold.target_fpr:g} with {threshold.confidence:.0%} confidence takes {needed}"
    )


def check_promise(manifest: Manifest, *, called: str, way_out: str) -> None:
    """BundleError, which names the bundle as it is called and how to take it all the same, where the promise is not kept."""
    if why := shortfall(manifest):
        raise BundleError(f"{called} guards nothing that can be relied on: {why}; make it anew, or {way_out}")
