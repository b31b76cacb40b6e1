"""A bundle whose threshold is of too few images is taken knowingly or not at all."""

from dataclasses import replace

import pytest

from guard.bundle import Manifest
from guard.errors import BundleError
from guard.guard import Guard
from guard.promise import check_promise, shortfall


def of(n: int, manifest: Manifest, *, which: int = 0) -> Manifest:
    """Return the manifest with a threshold of n images; a false-positive rate of .05 with 99 % confidence takes 90."""
    detectors = list(manifest.detectors)
    detectors[which] = detectors[which].model_copy(update={"threshold": replace(detectors[which].threshold, n=n)})
    return manifest.model_copy(update={"detectors": tuple(detectors)})


def test_threshold_of_too_few_images_lacks_what_it_takes(manifest: Manifest) -> None:
    assert shortfall(of(90, manifest)) == ""
    assert shortfall(of(89, manifest)) == (
        "the threshold of 'linear' is of 89 images, and a false-positive rate of 0.05 with 99% confidence takes 90"
    )


def test_detector_that_only_watches_promises_nothing(manifest: Manifest) -> None:
    check_promise(of(5, manifest, which=1), called="it", way_out="-")


def test_guard_inside_another_server_is_made_of_such_a_bundle_only_if_that_is_asked_for(manifest: Manifest) -> None:
    with pytest.raises(BundleError, match=r"bundle of 'shapes' guards nothing .* takes 90; .*unguarded=True"):
        Guard.of(of(89, manifest))
    assert Guard.of(of(89, manifest), unguarded=True).policy.name == "observe"
